"""What an event is: its days, its areas, where each number is from, and what is not known.

The records are read from TOML by ``cube.catalog``; this module knows no files.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cube.errors import CatalogError, PlanError
from cube.grid import BBox, check_bbox

__all__ = ["CLIMATE_ZONES", "Aoi", "Dates", "Event", "KuroSiwo", "Shared"]

Dates = tuple[date, date]
Split = Literal["train", "val", "test"]

CLIMATE_ZONES = {1: "Tropical", 2: "Arid", 3: "Temperate", 4: "Cold", 5: "Polar"}
"""Codes of Kuro Siwo, ``CL_ZONES`` of ``catalogue/catalogue.yaml`` in its repository."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Aoi(_Frozen):
    """A named area of an event; without `bbox` it is known by name only.

    ``default_box`` marks a box drawn around the centre of an activation, which may miss the area;
    ``verified = false`` one that was read by third parties and not compared with the original.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    number: int | None = Field(default=None, ge=1, description="aoiid of Kuro Siwo")
    title: str = ""
    climate_zone: int | None = Field(default=None, ge=1, le=5, description="see CLIMATE_ZONES")
    patches: tuple[int, int] | None = Field(
        default=None, description="rows, columns of Kuro Siwo's SLC patches that hold water"
    )
    bbox: tuple[float, float, float, float] | None = Field(
        default=None, description="west, south, east, north; degrees"
    )
    default_box: bool = False
    verified: bool = True
    source: str = ""

    @field_validator("bbox")
    @classmethod
    def _check(
        cls, value: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        if value is None:
            return None
        try:
            return check_bbox(value)
        except PlanError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _box_is_there(self) -> Aoi:
        if self.bbox is None and self.default_box:
            raise ValueError("default_box without bbox")
        return self


class KuroSiwo(_Frozen):
    """What the Kuro Siwo data set says of an event.

    ``before`` and ``after`` are the days of the Sentinel-1 acquisitions that the data set took;
    ``centre`` is latitude, longitude of the whole Copernicus EMS activation.
    """

    actid: int
    split: Split
    in_slc_index: bool
    before: tuple[date, ...] = ()
    after: tuple[date, ...] = ()
    centre: tuple[float, float] | None = None
    centre_source: str = ""

    @model_validator(mode="after")
    def _sourced(self) -> KuroSiwo:
        if self.centre is not None and not self.centre_source:
            raise ValueError("centre without centre_source")
        return self


class Shared(_Frozen):
    """Another data set that holds the same flood; ``activation`` where its code differs."""

    data: str
    split: Split | None = None
    activation: str | None = None


class Event(_Frozen):
    """One flood, as written in ``events/<id>.toml``.

    ``before`` gives the reference, ``during`` the flood, ``after`` (optional) its recession;
    dates are UTC days, both inclusive. Paths are relative to the file. ``same_as`` names the
    record of the same flood in another data set.
    """

    id: str = Field(pattern=r"^[a-z0-9]+$")
    title: str
    country: str = ""
    simulated: bool = False
    activation: str | None = Field(
        default=None, pattern=r"^EMSR\d{3,}$", description="code of Copernicus EMS rapid mapping"
    )
    activated: datetime | None = Field(default=None, description="UTC")
    reference_date: datetime | None = Field(default=None, description="UTC")
    same_as: str | None = None
    also_in: tuple[Shared, ...] = ()
    before: Dates | None = None
    during: Dates
    after: Dates | None = None
    kurosiwo: KuroSiwo | None = None
    aois: tuple[Aoi, ...] = Field(min_length=1)
    tracks: tuple[int, ...] = ()
    references: dict[str, Dates] = {}
    source: str | None = None
    dem: str | None = None
    dem_datum: Literal["egm2008", "egm96", "ellipsoid"] | None = None
    permanent_water: str | None = None
    hand: str | None = None
    sources: tuple[str, ...] = Field(min_length=1)
    notes: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Event:
        for name in ("before", "during", "after"):
            dates = getattr(self, name)
            if dates is not None and dates[0] > dates[1]:
                raise ValueError(f"{name} ends before it begins: {dates[0]} > {dates[1]}")
        if self.before is not None and self.before[1] >= self.during[0]:
            raise ValueError(f"before ends on {self.before[1]}, during begins {self.during[0]}")
        return self

    def aoi(self, name: str | None) -> Aoi:
        """Return an area by name; without one the first of known box, or else the first.

        Raises
        ------
        CatalogError
            No area of that name.
        """
        if name is None:
            return next((aoi for aoi in self.aois if aoi.bbox is not None), self.aois[0])
        for aoi in self.aois:
            if aoi.name == name:
                return aoi
        known = ", ".join(aoi.name for aoi in self.aois)
        raise CatalogError(f"event {self.id} has no AOI {name!r}; it has {known}")

    def box(self, name: str | None) -> BBox:
        """West, south, east, north of an area.

        Raises
        ------
        CatalogError
            No area of that name, or its box is not known; the message says what to do.
        """
        aoi = self.aoi(name)
        if aoi.bbox is not None:
            return aoi.bbox
        missing = f"event {self.id}: the box of AOI {aoi.name}"
        if aoi.title:
            missing += f" ({aoi.title})"
        if self.kurosiwo is None:
            raise CatalogError(f"{missing} is not known; add bbox = [W, S, E, N] to the event file")
        raise CatalogError(
            f"{missing} is not known; read it from Kuro Siwo's catalogue with"
            " cube events import --catalogue catalogue.gpkg"
        )
