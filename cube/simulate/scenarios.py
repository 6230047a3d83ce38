"""What a simulated event consists of: area, overflights and the state of the river at each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from cube.grid import BBox
from cube.simulate.orbit import Direction

__all__ = ["DEMO", "INDUS", "SCENARIOS", "SMALL", "Pass", "Scenario", "Track"]


@dataclass(frozen=True, slots=True)
class Track:
    """Ground track: its side, time of day and the incidence angle in the middle of the area."""

    relative_orbit: int
    direction: Direction
    incidence_deg: float


@dataclass(frozen=True, slots=True)
class Pass:
    """One overflight and what the ground was like."""

    track: Track
    time: str
    absolute_orbit: int
    stage_m: float = 0.0
    wind_m_s: float = 4.0
    soil_db: float = 0.0
    parts: int = 1
    border: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """One event."""

    id: str
    title: str
    """Begins with "Simulated": it is the label in every manifest."""
    aoi: str
    bbox: BBox
    before: tuple[date, date]
    during: tuple[date, date]
    passes: tuple[Pass, ...]
    """In order of time; the truth is that of the last."""
    dem_margin_deg: float = 0.21
    """DEM beyond the area."""


DESCENDING = Track(78, "descending", 36.7)
ASCENDING = Track(42, "ascending", 40.4)

PASSES = (
    Pass(DESCENDING, "2022-07-08T01:25:17.2", 44075, wind_m_s=3.5, soil_db=-0.4),
    Pass(ASCENDING, "2022-07-17T13:36:40.5", 44214, wind_m_s=4.5, soil_db=-0.2),
    Pass(DESCENDING, "2022-07-20T01:25:17.9", 44250, wind_m_s=5.0, border=True),
    Pass(ASCENDING, "2022-07-29T13:36:41.2", 44389, wind_m_s=3.0, soil_db=0.2),
    Pass(DESCENDING, "2022-08-01T01:25:19.01", 44425, wind_m_s=4.0, soil_db=0.3, parts=2),
    Pass(ASCENDING, "2022-08-10T13:36:41.9", 44564, wind_m_s=5.5, soil_db=0.4),
    Pass(DESCENDING, "2022-08-13T01:25:19.3", 44600, wind_m_s=2.5, soil_db=0.5),
    Pass(DESCENDING, "2022-08-25T01:25:20.0", 44775, stage_m=0.35, wind_m_s=3.0, soil_db=0.9),
    Pass(DESCENDING, "2022-09-06T01:25:20.3", 44950, stage_m=0.75, wind_m_s=9.5, soil_db=0.8),
    Pass(ASCENDING, "2022-09-15T13:36:44.1", 45089, stage_m=1.1, wind_m_s=3.5, soil_db=0.6),
    Pass(DESCENDING, "2022-09-18T01:25:20.6", 45125, stage_m=1.2, wind_m_s=4.0, soil_db=0.7),
)
"""In order of time, five days before Sentinel-1A really flew there, so that none can be mistaken
for an observation. The last one is the largest flood, the one before the last of the descending
track is windy enough for water to be as bright as bare soil in VV."""

DEMO = Scenario(
    "demo",
    "Simulated flood on a made-up river plain",
    "plain",
    (68.13, 27.45, 68.27, 27.55),
    (date(2022, 6, 1), date(2022, 8, 20)),
    (date(2022, 8, 21), date(2022, 9, 20)),
    PASSES,
)

SMALL = Scenario(
    DEMO.id,
    DEMO.title,
    DEMO.aoi,
    (68.163, 27.482, 68.213, 27.518),
    DEMO.before,
    DEMO.during,
    (PASSES[0], PASSES[2], PASSES[4], PASSES[10]),
    dem_margin_deg=0.06,
)
"""5 by 4 km and four passes of one track, for tests."""

INDUS = Scenario(
    "indus",
    "Simulated flood on a made-up river plain in the place of Larkana",
    "larkana",
    (68.0727, 27.4560, 68.4402, 27.6986),
    (date(2022, 6, 1), date(2022, 8, 9)),
    (date(2022, 8, 10), date(2022, 9, 23)),
    (
        Pass(ASCENDING, "2022-07-22T13:36:22.4", 44214, wind_m_s=4.5, soil_db=-0.2),
        Pass(DESCENDING, "2022-07-25T01:25:56.1", 44250, wind_m_s=3.5, soil_db=-0.3),
        Pass(ASCENDING, "2022-08-03T13:36:23.1", 44389, wind_m_s=3.0, soil_db=0.2),
        Pass(DESCENDING, "2022-08-06T01:25:56.8", 44425, wind_m_s=4.0, soil_db=0.3, parts=2),
        Pass(ASCENDING, "2022-08-27T13:36:24.0", 44739, stage_m=1.4, wind_m_s=3.5, soil_db=0.9),
        Pass(DESCENDING, "2022-08-30T01:25:57.9", 44775, stage_m=2.4, wind_m_s=3.0, parts=2),
        Pass(ASCENDING, "2022-09-08T13:36:24.6", 44914, stage_m=2.2, wind_m_s=5.0, soil_db=0.8),
        Pass(DESCENDING, "2022-09-11T01:25:58.3", 44950, stage_m=1.9, wind_m_s=4.0, soil_db=0.7),
    ),
)
"""The area, windows and orbits of the event ``pakistan2022`` (first AOI), at the times when
Sentinel-1A flew there, to rehearse a build of that event. What tells it from observations are the
label in the manifests, the Items' property ``simulated``, data takes that were never given, and
images of a tenth of the real size. The river falls again before the last pass."""

SCENARIOS = {"demo": DEMO, "small": SMALL, "indus": INDUS}
"""By the name that ``cube simulate --scenario`` takes."""
