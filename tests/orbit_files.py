"""Writes orbit files in the form of the Copernicus POD Service."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

HEAD = """<?xml version="1.0" ?>
<Earth_Explorer_File>
  <Earth_Explorer_Header>
    <Fixed_Header>
      <File_Name>{name}</File_Name>
      <File_Description>Precise Orbit Ephemerides (POE) Orbit File</File_Description>
      <Notes></Notes>
      <Mission>{mission}</Mission>
      <File_Class>OPER</File_Class>
      <File_Type>{kind}</File_Type>
      <Validity_Period>
        <Validity_Start>UTC={start:%Y-%m-%dT%H:%M:%S}</Validity_Start>
        <Validity_Stop>UTC={stop:%Y-%m-%dT%H:%M:%S}</Validity_Stop>
      </Validity_Period>
      <File_Version>0001</File_Version>
      <Source>
        <System>OPOD</System>
        <Creator>OPOD</Creator>
        <Creator_Version>1.5.3</Creator_Version>
        <Creation_Date>UTC={created:%Y-%m-%dT%H:%M:%S}</Creation_Date>
      </Source>
    </Fixed_Header>
    <Variable_Header>
      <Ref_Frame>EARTH_FIXED</Ref_Frame>
      <Time_Reference>UTC</Time_Reference>
    </Variable_Header>
  </Earth_Explorer_Header>
<Data_Block type="xml">
  <List_of_OSVs count="{count}">
"""
VECTOR = """    <OSV>
      <TAI>TAI={time}</TAI>
      <UTC>UTC={time}</UTC>
      <UT1>UT1={time}</UT1>
      <Absolute_Orbit>+24561</Absolute_Orbit>
      <X unit="m">{0}</X>
      <Y unit="m">{1}</Y>
      <Z unit="m">{2}</Z>
      <VX unit="m/s">{3}</VX>
      <VY unit="m/s">{4}</VY>
      <VZ unit="m/s">{5}</VZ>
      <Quality>NOMINAL</Quality>
    </OSV>
"""
TAIL = "  </List_of_OSVs>\n</Data_Block>\n</Earth_Explorer_File>\n"


@dataclass(frozen=True)
class Vectors:
    """State vectors of an annotation: times, and six numbers each, as they are written there."""

    mission: str
    times: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]

    def later(self, hours: float) -> Vectors:
        """The same numbers at other times."""
        moved = (datetime.fromisoformat(time) + timedelta(hours=hours) for time in self.times)
        return replace(self, times=tuple(f"{time:%Y-%m-%dT%H:%M:%S.%f}" for time in moved))

    def beside(self, metres: float) -> Vectors:
        """An orbit shifted along the Earth's axis."""
        return replace(
            self,
            values=tuple(
                (x, y, repr(float(z) + metres), *speed) for x, y, z, *speed in self.values
            ),
        )


def annotated(content: bytes) -> Vectors:
    """State vectors of a product annotation."""
    root = ET.fromstring(content)
    found = root.findall("generalAnnotation/orbitList/orbit")
    names = [f"{kind}/{axis}" for kind in ("position", "velocity") for axis in "xyz"]
    return Vectors(
        f"Sentinel-1{root.findtext('adsHeader/missionId', '')[-1]}",
        tuple(one.findtext("time", "") for one in found),
        tuple(tuple(one.findtext(name, "") for name in names) for one in found),
    )


def write_orbit(
    folder: Path,
    vectors: Vectors,
    kind: str = "AUX_POEORB",
    created: str = "2024-01-01T12:00:00",
    margin_h: float = 1.0,
) -> Path:
    """Orbit file whose validity exceeds its vectors, as if it had been cut, by `margin_h`."""
    first, last = (datetime.fromisoformat(vectors.times[k]) for k in (0, -1))
    start, stop = first - timedelta(hours=margin_h), last + timedelta(hours=margin_h)
    made = datetime.fromisoformat(created)
    name = (
        f"S1{vectors.mission[-1]}_OPER_{kind}_OPOD_{made:%Y%m%dT%H%M%S}"
        f"_V{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}"
    )
    text = HEAD.format(
        name=name, mission=vectors.mission, kind=kind, start=start, stop=stop, created=made,
        count=len(vectors.times),
    )  # fmt: skip
    rows = zip(vectors.times, vectors.values, strict=True)
    path = folder / f"{name}.EOF"
    path.write_text(text + "".join(VECTOR.format(*row, time=time) for time, row in rows) + TAIL)
    return path
