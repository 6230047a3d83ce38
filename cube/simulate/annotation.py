"""The product annotation: image, grids and polynomials, in ESA's schema (S1-RS-MDA-52-7441)."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from cube.simulate.annotation_general import (
    ads_header,
    general_annotation,
    quality_information,
    statistics,
)
from cube.simulate.geometry import SPEED_OF_LIGHT, ground_point, look_vectors
from cube.simulate.product import GridPoints, ProductSpec, Swath, ellipsoid_incidence
from cube.simulate.xmltree import (
    Value,
    counted,
    double_vector,
    leaf,
    node,
    single,
    vector,
)

__all__ = ["product_xml"]

BANDWIDTH_HZ = {"IW1": 5.65e7, "IW2": 4.83e7, "IW3": 4.278991840322842e7}
AZIMUTH_BANDWIDTH_HZ = {"IW1": 327.0, "IW2": 313.0, "IW3": 314.0}
ANTENNA_POINTS = 700


def product_xml(
    spec: ProductSpec, polarisation: str, pixels: NDArray[np.uint16], grid: GridPoints
) -> ET.Element:
    """Whole annotation of one image; `grid` is ``spec.grid()``."""
    mean, deviation = float(pixels.mean(dtype="float64")), float(pixels.std(dtype="float64"))
    return node(
        "product",
        [
            ads_header(spec, polarisation),
            quality_information(spec, mean, deviation),
            general_annotation(spec),
            node(
                "imageAnnotation",
                [_image_information(spec, mean, deviation), _processing_information(spec)],
            ),
            node("dopplerCentroid", [counted("dcEstimateList", _doppler(spec))]),
            node("antennaPattern", [counted("antennaPatternList", _antenna(spec))]),
            node("swathTiming", [counted("burstList", [])], linesPerBurst=0, samplesPerBurst=0),
            node("geolocationGrid", [counted("geolocationGridPointList", _grid(spec, grid))]),
            node("coordinateConversion", [counted("coordinateConversionList", _conversions(spec))]),
            node("swathMerging", [counted("swathMergeList", _merges(spec))]),
        ],
    )


def _image_information(spec: ProductSpec, mean: float, deviation: float) -> ET.Element:
    geometry = spec.geometry
    middle = np.array([[geometry.lines / 2, geometry.samples / 2]])
    angle = ellipsoid_incidence(geometry, middle[:, 0], middle[:, 1])
    slices = [
        node(
            "slice",
            sliceNumber=number,
            sensingStartTime=spec.time(item.start_s),
            sensingStopTime=spec.time(item.stop_s),
        )
        for number, item in enumerate(spec.all_slices, 1)
    ]
    information = node(
        "imageInformation",
        productFirstLineUtcTime=spec.first_line_time,
        productLastLineUtcTime=spec.last_line_time,
        ascendingNodeTime=spec.node_time,
        anchorTime=spec.time(spec.all_slices[0].start_s),
        productComposition="Slice",
        sliceNumber=spec.slice_number,
    )
    information.append(counted("sliceList", slices))
    rest: dict[str, Value] = {
        "slantRangeTime": 2 * geometry.near_range_m / SPEED_OF_LIGHT,
        "pixelValue": "Detected",
        "outputPixels": "16 bit Unsigned Integer",
        "rangePixelSpacing": single([geometry.range_step_m]),
        "azimuthPixelSpacing": single([10.0]),
        "azimuthTimeInterval": geometry.line_step_s,
        "azimuthFrequency": 4.864863102995529e2,
        "numberOfSamples": geometry.samples,
        "numberOfLines": geometry.lines,
        "zeroDopMinusAcqTime": geometry.first_line_s - spec.all_slices[0].start_s,
        "incidenceAngleMidSwath": float(angle[0]),
    }
    information.extend([leaf(name, value) for name, value in rest.items()])
    information.append(statistics(mean, deviation))
    return information


def _processing_information(spec: ProductSpec) -> ET.Element:
    flags: dict[str, Value] = {
        "rawDataAnalysisUsed": True,
        "orbitDataFileUsed": True,
        "attitudeDataFileUsed": False,
        "rxVariationCorrectionApplied": True,
        "antennaElevationPatternApplied": True,
        "antennaAzimuthPatternApplied": True,
        "antennaAzimuthElementPatternApplied": True,
        "dcMethod": "Data Analysis",
        "dcInputData": "Range Compressed",
        "rangeSpreadingLossCompensationApplied": True,
        "srgrConversionApplied": True,
        "detectionPerformed": True,
        "thermalNoiseCorrectionPerformed": False,
    }
    if spec.ipf >= "003.40":
        flags |= {"rfiMitigationPerformed": "Never", "rfiMitigationDomain": "TimeAndFrequency"}
    flags |= {
        "chirpSource": "Nominal",
        "pgSource": "Extracted",
        "rrfSpectrum": "Extended Tapered",
        "applicationLutId": "IW_Default",
    }
    information = node("processingInformation", **flags)
    information.append(counted("swathProcParamsList", [_looks(swath) for swath in spec.swaths]))
    information.append(
        counted(
            "inputDimensionsList",
            [
                node(
                    "inputDimensions",
                    azimuthTime=spec.first_line_time,
                    swath=swath.name,
                    numberOfInputSamples=spec.geometry.samples * 3,
                    numberOfInputLines=spec.geometry.lines,
                )
                for swath in spec.swaths
            ],
        )
    )
    rest: dict[str, Value] = {
        "referenceRange": 8.0e5,
        "ellipsoidName": "WGS84",
        "ellipsoidSemiMajorAxis": 6378137.0,
        "ellipsoidSemiMinorAxis": 6356752.314245,
        "bistaticDelayCorrectionApplied": True,
        "topsFilterConvention": "Only Echo Lines",
        "orbitSource": "Auxiliary",
        "attitudeSource": "Downlink",
    }
    information.extend([leaf(name, value) for name, value in rest.items()])
    return information


def _looks(swath: Swath) -> ET.Element:
    """Five looks in range and one in azimuth, the processing of IW GRDH."""
    bandwidth, azimuth = BANDWIDTH_HZ[swath.name], AZIMUTH_BANDWIDTH_HZ[swath.name]
    return node(
        "swathProcParams",
        [
            node(
                "rangeProcessing",
                windowType="Hamming",
                windowCoefficient=0.73,
                totalBandwidth=bandwidth,
                processingBandwidth=bandwidth,
                lookBandwidth=bandwidth / 4,
                numberOfLooks=5,
                lookOverlap=bandwidth / 16,
            ),
            node(
                "azimuthProcessing",
                windowType="Hamming",
                windowCoefficient=0.75,
                totalBandwidth=azimuth,
                processingBandwidth=azimuth,
                lookBandwidth=azimuth,
                numberOfLooks=1,
                lookOverlap=0.0,
            ),
            leaf("processorScalingFactor", single([1e12])),
        ],
        swath=swath.name,
    )


def _doppler(spec: ProductSpec) -> list[ET.Element]:
    """Doppler centroid of a platform that is steered to zero."""
    geometry = spec.geometry
    estimates = []
    for offset in (0.0, geometry.lines * geometry.line_step_s):
        time = spec.time(geometry.first_line_s + offset)
        estimates.append(
            node(
                "dcEstimate",
                [
                    vector("geometryDcPolynomial", [0.0, 0.0, 0.0]),
                    vector("dataDcPolynomial", [0.0, 0.0, 0.0]),
                    leaf("dataDcRmsError", 0.0),
                    leaf("dataDcRmsErrorAboveThreshold", False),
                    leaf("fineDceAzimuthStartTime", time),
                    leaf("fineDceAzimuthStopTime", time),
                    counted("fineDceList", []),
                ],
                azimuthTime=time,
                t0=spec.swaths[0].near_time_s,
            )
        )
    return estimates


def _antenna(spec: ProductSpec) -> list[ET.Element]:
    """Angles over the whole beam of each sub-swath at both ends of the image."""
    geometry = spec.geometry
    patterns = []
    for offset in (0.0, geometry.lines * geometry.line_step_s):
        for swath in spec.swaths:
            two_way = np.linspace(swath.near_time_s, swath.far_time_s, ANTENNA_POINTS)
            distance = two_way * SPEED_OF_LIGHT / 2
            moment = np.full(distance.shape, geometry.first_line_s + offset)
            height = geometry.terrain_height_m
            lat, lon = ground_point(geometry.orbit, moment, distance, height)
            incidence = look_vectors(geometry.orbit, lat, lon, height)[2]
            centred = 2 * (two_way - swath.near_time_s) / np.ptp(two_way) - 1
            # One way; two ways make the 3 dB or so that the noise rises to the edges.
            gain = 10 ** (-1.5 * centred**2 / 20)
            pattern = np.column_stack([gain, np.zeros_like(gain)]).ravel()
            complex_pattern = vector("elevationPattern", pattern)
            complex_pattern.set("count", str(gain.size))
            patterns.append(
                node(
                    "antennaPattern",
                    [
                        double_vector("slantRangeTime", two_way.tolist()),
                        vector("elevationAngle", spec.elevation_deg(distance, incidence)),
                        complex_pattern,
                        vector("incidenceAngle", incidence),
                        leaf("terrainHeight", geometry.terrain_height_m),
                        leaf("roll", 29.45),
                    ],
                    swath=swath.name,
                    azimuthTime=spec.time(geometry.first_line_s + offset),
                )
            )
    return patterns


def _grid(spec: ProductSpec, grid: GridPoints) -> list[ET.Element]:
    elevation = spec.elevation_deg(grid.range_m, grid.incidence_deg)
    return [
        node(
            "geolocationGridPoint",
            azimuthTime=spec.time(float(grid.time_s[at])),
            slantRangeTime=float(2 * grid.range_m[at] / SPEED_OF_LIGHT),
            line=int(grid.line[at]),
            pixel=int(grid.col[at]),
            latitude=float(grid.lat[at]),
            longitude=float(grid.lon[at]),
            height=float(grid.height_m[at]),
            incidenceAngle=float(grid.incidence_deg[at]),
            elevationAngle=float(elevation[at]),
        )
        for at in np.ndindex(grid.line.shape)
    ]


def _conversions(spec: ProductSpec) -> list[ET.Element]:
    geometry = spec.geometry
    first = geometry.first_line_s
    last = first + geometry.lines * geometry.line_step_s
    # One record beyond the nearest on either side: a slice must not depend on its neighbour's.
    return [
        node(
            "coordinateConversion",
            [
                double_vector("srgrCoefficients", record.srgr),
                leaf("gr0", 0.0),
                double_vector("grsrCoefficients", record.grsr),
            ],
            azimuthTime=spec.time(record.time_s),
            slantRangeTime=2 * record.near_range_m / SPEED_OF_LIGHT,
            sr0=record.near_range_m,
        )
        for record in geometry.records
        if first - 2.5 < record.time_s < last + 1.5
    ]


def _merges(spec: ProductSpec) -> list[ET.Element]:
    merges = []
    for swath in spec.swaths:
        columns = swath.columns(spec.geometry)
        if columns is None:
            continue
        bounds = node(
            "swathBounds",
            azimuthTime=spec.first_line_time,
            firstAzimuthLine=0,
            firstRangeSample=columns[0],
            lastAzimuthLine=spec.geometry.lines - 1,
            lastRangeSample=columns[1],
        )
        merges.append(node("swathMerge", [counted("swathBoundsList", [bounds])], swath=swath.name))
    return merges
