"""The manifest of a SAFE folder (S1-RS-MDA-52-7441, section 5): its files and what they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np

from cube.simulate.product import ProductSpec
from cube.simulate.xmltree import Value, leaf, node, time_text

__all__ = ["DataObject", "manifest_xml"]

NAMESPACES = {
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xmlns:gml": "http://www.opengis.net/gml",
    "xmlns:xfdu": "urn:ccsds:schema:xfdu:1",
    "xmlns:safe": "http://www.esa.int/safe/sentinel-1.0",
    "xmlns:s1": "http://www.esa.int/safe/sentinel-1.0/sentinel-1",
    "xmlns:s1sar": "http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar",
    "xmlns:s1sarl1": "http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar/level-1",
    "xmlns:s1sarl2": "http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar/level-2",
    "xmlns:gx": "http://www.google.com/kml/ext/2.2",
    "version": "esa/safe/sentinel-1.0/sentinel-1/sar/level-1/grd/standard/iwdp",
}
SCHEMAS = {
    "s1Level1ProductSchema": "s1-level-1-product.xsd",
    "s1Level1NoiseSchema": "s1-level-1-noise.xsd",
    "s1Level1CalibrationSchema": "s1-level-1-calibration.xsd",
    "s1ObjectTypesSchema": "s1-object-types.xsd",
    "s1Level1MeasurementSchema": "s1-level-1-measurement.xsd",
}
DESIGNATORS = {"S1A": "2014-016A", "S1B": "2016-025A"}
CYCLES = {"S1A": (73, 15), "S1B": (27, 7)}
"""Absolute orbit at which a repeat cycle began, and its number, from real manifests."""


@dataclass(frozen=True, slots=True)
class DataObject:
    """One file of the product."""

    kind: str
    """product, noise, calibration or measurement."""
    href: str
    """Path inside the SAFE folder, with slashes."""
    content_md5: str
    size: int

    @property
    def identifier(self) -> str:
        """Kind and file stem without dashes; the measurement has no kind."""
        stem = self.href.rsplit("/", 1)[-1].split(".")[0].replace("-", "")
        return (
            stem if stem.startswith(self.kind) or self.kind == "measurement" else self.kind + stem
        )

    @property
    def schema(self) -> str:
        """Identifier of its representation."""
        return f"s1Level1{self.kind.capitalize()}Schema"


def data_object(kind: str, href: str, content: bytes) -> DataObject:
    """Object of a file whose bytes are in hand."""
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return DataObject(kind, href, digest, len(content))


def manifest_xml(
    spec: ProductSpec, objects: Sequence[DataObject], footprint: Sequence[tuple[float, float]]
) -> ET.Element:
    """Manifest of a product.

    Parameters
    ----------
    spec : ProductSpec
    objects : sequence of DataObject
        All files but the manifest.
    footprint : sequence of (lat, lon)
        Corners in degrees: last line near and far, first line far and near.
    """
    root = ET.Element("xfdu:XFDU", NAMESPACES)
    root.append(_information_map(objects))
    root.append(_metadata(spec, objects, footprint))
    section = ET.SubElement(root, "dataObjectSection")
    for item in objects:
        entry = ET.SubElement(section, "dataObject", ID=item.identifier, repID=item.schema)
        mime = "application/octet-stream" if item.kind == "measurement" else "text/xml"
        stream = ET.SubElement(entry, "byteStream", mimeType=mime, size=str(item.size))
        ET.SubElement(stream, "fileLocation", locatorType="URL", href=f"./{item.href}")
        ET.SubElement(stream, "checksum", checksumName="MD5").text = item.content_md5
    return root


def _information_map(objects: Sequence[DataObject]) -> ET.Element:
    section = ET.Element("informationPackageMap")
    package = ET.SubElement(
        section,
        "xfdu:contentUnit",
        unitType="SAFE Archive Information Package",
        textInfo="Sentinel-1 IW Level-1 GRD Product",
        dmdID=(
            "acquisitionPeriod platform generalProductInformation measurementOrbitReference "
            "measurementFrameSet"
        ),
        pdiID="processing",
    )
    for item in objects:
        image = item.kind == "measurement"
        unit = ET.SubElement(
            package,
            "xfdu:contentUnit",
            unitType="Measurement Data Unit" if image else "Metadata Unit",
            repID=item.schema,
        )
        if image:
            stem = item.identifier
            kinds = ("product", "noise", "calibration")
            unit.set("dmdID", " ".join(f"{kind}{stem}Annotation" for kind in kinds))
        ET.SubElement(unit, "dataObjectPointer", dataObjectID=item.identifier)
    return section


def _metadata(
    spec: ProductSpec, objects: Sequence[DataObject], footprint: Sequence[tuple[float, float]]
) -> ET.Element:
    section = ET.Element("metadataSection")
    for item in objects:
        if item.kind == "measurement":
            continue
        entry = ET.SubElement(
            section,
            "metadataObject",
            ID=f"{item.identifier}Annotation",
            classification="DESCRIPTION",
            category="DMD",
        )
        ET.SubElement(entry, "dataObjectPointer", dataObjectID=item.identifier)
    wrapped = [
        ("processing", "Processing", _processing(spec)),
        ("platform", "Platform Description", _platform(spec)),
        ("measurementOrbitReference", "Orbit Reference", _orbit_reference(spec)),
        ("generalProductInformation", "General Product Information", _general(spec)),
        ("acquisitionPeriod", "Acquisition Period", _period(spec)),
        ("measurementFrameSet", "Frame Set", _frames(footprint)),
    ]
    for identifier, text, content in wrapped:
        past = identifier == "processing"
        entry = ET.SubElement(
            section,
            "metadataObject",
            ID=identifier,
            classification="PROVENANCE" if past else "DESCRIPTION",
            category="PDI" if past else "DMD",
        )
        wrap = ET.SubElement(
            entry, "metadataWrap", mimeType="text/xml", vocabularyName="SAFE", textInfo=text
        )
        ET.SubElement(wrap, "xmlData").append(content)
    for identifier, file in SCHEMAS.items():
        entry = ET.SubElement(
            section, "metadataObject", ID=identifier, classification="SYNTAX", category="REP"
        )
        ET.SubElement(
            entry,
            "metadataReference",
            mimeType="text/xml",
            vocabularyName="SDF" if "Measurement" in identifier else "XML Schema",
            locatorType="URL",
            href=f"./support/{file}",
        )
    return section


def _processing(spec: ProductSpec) -> ET.Element:
    """Provenance: these pixels are simulated, in the format of an IPF version."""
    stop = time_text(spec.last_line_time)
    element = ET.Element("safe:processing", name="GRD Post Processing", start=stop, stop=stop)
    facility = ET.SubElement(
        element,
        "safe:facility",
        country="none",
        name=f"cube.simulate ({spec.label})",
        organisation="simulated",
        site="none",
    )
    version = spec.ipf
    ET.SubElement(facility, "safe:software", name="Sentinel-1 IPF", version=version)
    return element


def _platform(spec: ProductSpec) -> ET.Element:
    instrument = node(
        "safe:instrument",
        [
            leaf("safe:familyName", "Synthetic Aperture Radar", abbreviation="SAR"),
            node(
                "safe:extension",
                [
                    node(
                        "s1sarl1:instrumentMode",
                        [leaf("s1sarl1:mode", "IW"), leaf("s1sarl1:swath", "IW")],
                    )
                ],
            ),
        ],
    )
    return node(
        "safe:platform",
        [
            leaf("safe:nssdcIdentifier", DESIGNATORS[spec.mission]),
            leaf("safe:familyName", "SENTINEL-1"),
            leaf("safe:number", spec.mission[-1]),
            instrument,
        ],
    )


def _orbit_reference(spec: ProductSpec) -> ET.Element:
    numbers = [("orbitNumber", spec.absolute_orbit), ("relativeOrbitNumber", spec.relative_orbit)]
    children = [
        leaf(f"safe:{name}", value, type=end)
        for name, value in numbers
        for end in ("start", "stop")
    ]
    first, offset = CYCLES[spec.mission]
    cycle = (spec.absolute_orbit - first) // 175 + offset
    properties = node(
        "s1:orbitProperties",
        [
            leaf("s1:pass", spec.direction.upper()),
            leaf("s1:ascendingNodeTime", spec.node_time),
        ],
    )
    return node(
        "safe:orbitReference",
        [
            *children,
            leaf("safe:cycleNumber", cycle),
            leaf("safe:phaseIdentifier", 1),
            node("safe:extension", [properties]),
        ],
    )


def _general(spec: ProductSpec) -> ET.Element:
    values: list[tuple[str, Value]] = [
        ("instrumentConfigurationID", 7),
        ("missionDataTakeID", spec.datatake),
        *[("transmitterReceiverPolarisation", name) for name in spec.polarisations],
        ("productClass", "S"),
        ("productClassDescription", "SAR Standard L1 Product"),
        ("productComposition", "Slice"),
        ("productType", "GRD"),
        ("productTimelinessCategory", "Fast-24h"),
        ("sliceProductFlag", True),
        ("segmentStartTime", spec.time(spec.all_slices[0].start_s)),
        ("sliceNumber", spec.slice_number),
        ("totalSlices", len(spec.all_slices)),
    ]
    return node(
        "s1sarl1:standAloneProductInformation",
        [leaf(f"s1sarl1:{name}", value) for name, value in values],
    )


def _period(spec: ProductSpec) -> ET.Element:
    def after_node(time: np.datetime64) -> str:
        # Milliseconds in ESA's files: 7.266839e+05 for 726.7 s.
        return f"{(time - spec.node_time) / np.timedelta64(1, 'us') / 1000:.6e}"

    start, stop = spec.first_line_time, spec.last_line_time
    node_times = node(
        "s1:timeANX",
        [
            leaf("s1:startTimeANX", after_node(start)),
            leaf("s1:stopTimeANX", after_node(stop)),
        ],
    )
    return node(
        "safe:acquisitionPeriod",
        [
            leaf("safe:startTime", start),
            leaf("safe:stopTime", stop),
            node("safe:extension", [node_times]),
        ],
    )


def _frames(footprint: Sequence[tuple[float, float]]) -> ET.Element:
    text = " ".join(f"{lat:.6f},{lon:.6f}" for lat, lon in footprint)
    foot = leaf("gml:coordinates", text)
    outline = node("safe:footPrint", [foot])
    outline.set("srsName", "http://www.opengis.net/gml/srs/epsg.xml#4326")
    return node("safe:frameSet", [node("safe:frame", [outline])])
