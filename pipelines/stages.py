"""The stages of a build in order: one task per block each, journalled, flagged at the end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from cube.catalog import Model
from cube.kernels.speckle import FILTERS
from cube.kernels.water import WaterModel, fit
from cube.readers.passes import Pass
from cube.readers.raster import Raster, describe
from cube.readers.scene import Files, open_annotation
from cube.steps.backscatter import PassSource, backscatter
from cube.steps.flood import (
    FloodSource,
    Polarised,
    WaterSource,
    flood_classes,
    permanent_water,
    reference,
)
from cube.steps.levels import bright_levels
from cube.steps.relief import Reach, level_reach, reach_of, read_relief
from cube.steps.rtc import RtcSource, projected
from cube.steps.sight import incidence_limits
from cube.steps.slc import geocoded_slc
from cube.steps.speckle import Speckle
from cube.steps.statistics import floored_counts, tile_histograms
from cube.steps.terrain import Exclusion, Surface, surface_bands, surface_layers
from cube.store.layers import StoredLayer
from cube.store.write import (
    Journal,
    Target,
    set_flag,
    stored_array,
)
from pipelines.layers import Maps
from pipelines.plan import Plan
from pipelines.request import Resolved
from pipelines.runner import Progress, Runner
from pipelines.single_look import references_of, single_look_source, slices_of, targets_of
from pipelines.summary import write_summary
from pipelines.writing import write_stage

__all__ = ["Stages"]

_PERMANENT_PASSES = 10
GRD_LOOKS = 4.4
"""Equivalent number of looks of IW GRDH (Sentinel-1 Product Definition, S1-RS-MDA-52-7440)."""


class Stages:
    """Everything between an empty template and a finished cube."""

    def __init__(
        self,
        resolved: Resolved,
        plan: Plan,
        passes: tuple[Pass, ...],
        maps: Maps,
        block: int,
        runner: Runner,
        progress: Progress,
    ) -> None:
        self._resolved, self._plan, self._passes, self._maps = resolved, plan, passes, maps
        self._path = str(resolved.out)
        self._shape = (int(resolved.grid.shape[0]), int(resolved.grid.shape[1]))
        self._block, self._runner, self._progress = block, runner, progress
        self._models: dict[tuple[str, int], WaterModel] = {}

    def run(self) -> None:
        """Run all stages; those that are on disk already cost one look at their journal."""
        self._surface()
        if self._resolved.product == "slc":
            cut = references_of(self._passes, self._plan.polarisations, self._resolved.grid)
            for index, one in enumerate(self._passes):
                self._single_look(index, cut[one.track])
            return
        for index in range(len(self._passes)):
            self._backscatter(index)
        if "reference" in self._plan.layers:
            for number, track in enumerate(self._plan.tracks):
                self._reference(number, track)
        if "water" in self._plan.layers:
            self._permanent()
            for index in range(len(self._passes)):
                self._flood(index)
            write_summary(
                self._path, self._plan, self._shape, self._block, self._runner, self._progress
            )
        else:
            for index in range(len(self._passes)):
                set_flag(Path(self._path), "complete", index)

    def _stage(
        self,
        stage: str,
        title: str,
        stack: Any,
        targets: Sequence[Target],
        statistics: dict[str, tuple[int, Any]] | None = None,
    ) -> None:
        """Write the blocks of a stage that are missing."""
        journal = Journal(self._path, stage, self._shape, self._block)
        write_stage(journal, title, stack, targets, self._runner, self._progress, statistics)

    def _name(self, index: int) -> str:
        one = self._plan.passes[index]
        return f"{one.time[:16].replace('T', ' ')} {one.platform} orbit {one.track}"

    def _files(self, index: int) -> tuple[tuple[Files, ...], ...]:
        """Files of each image; of complex ones every sub-swath is one."""
        one, polarisations = self._passes[index], self._plan.polarisations
        if self._resolved.product == "slc":
            return tuple(swath for part in slices_of(one, polarisations) for swath in part)
        return tuple(scene.of(polarisations) for scene in one.scenes)

    def _track_files(self, track: int) -> tuple[Files, ...]:
        return tuple(
            files[0]
            for index, one in enumerate(self._plan.passes)
            if one.track == track
            for files in self._files(index)
        )

    def _surface(self) -> None:
        preset = self._resolved.preset
        surface = Surface(
            grid=self._resolved.grid,
            dem=self._maps.dem,
            hand=_raster(self._maps.hand),
            permanent_water=_raster(self._maps.permanent_water),
            tracks=tuple((track, self._track_files(track)) for track in self._plan.tracks),
            exclusion=Exclusion(preset.max_slope, preset.max_hand),
            sighted="incidence_angle" in self._plan.layers,
            flattened="rtc_anf" in self._plan.layers,
            sea=None if self._resolved.sea in ("none", "dem") else _raster(self._resolved.sea),
            sea_of_dem=self._resolved.sea == "dem",
        )
        targets = [Target(name, index) for name, index in surface_bands(surface)]
        self._stage("surface", "surface", surface_layers(surface, self._reach(surface)), targets)

    def _reach(self, surface: Surface) -> Reach:
        """How far beyond each block the surface stage looks."""
        if not surface.sighted:
            return level_reach(self._shape, self._block)
        files = [one for _, slices in surface.tracks for one in slices]
        limits = np.array([incidence_limits(open_annotation(one)) for one in files])
        relief = read_relief(surface.grid, surface.dem)
        angles = float(limits[:, 0].min()), float(limits[:, 1].max())
        return reach_of(relief, surface.grid, self._block, angles)

    def _backscatter(self, index: int) -> None:
        if self._flag("backscatter_complete", index):
            return
        polarisations = self._plan.polarisations
        targets = [Target(name, index) for name in polarisations]
        if "nesz" in self._plan.layers:
            targets += [Target(f"nesz_{name}", index) for name in polarisations]
        statistics: dict[str, tuple[int, Any]] = {"statistics/floored": (index, floored_counts)}
        if "vv" in polarisations:
            statistics["statistics/histogram"] = (index, self._histogram())
        self._stage(
            f"backscatter_{index}",
            f"backscatter {self._name(index)}",
            self._stack(index),
            targets,
            statistics,
        )
        set_flag(Path(self._path), "backscatter_complete", index)

    def _single_look(self, index: int, reference: int) -> None:
        if self._flag("complete", index):
            return
        source = single_look_source(
            self._plan,
            self._passes,
            index,
            reference,
            self._resolved.grid,
            self._path,
            delay=self._resolved.path_delay,
        )
        self._stage(
            f"slc_{index}",
            f"complex images {self._name(index)}",
            geocoded_slc(source, self._block),
            targets_of(self._plan, index),
        )
        set_flag(Path(self._path), "complete", index)

    def _stack(self, index: int) -> da.Array:
        """Lazy backscatter of a pass: ours from radar geometry, an engine's from map grids."""
        grid, files = self._resolved.grid, self._files(index)
        if self._resolved.product == "rtc":
            return projected(RtcSource(grid, files), self._block, self._resolved.engine)
        dem = StoredLayer(self._path, "dem")  # sampled once, by the first stage
        number = self._plan.tracks.index(self._plan.passes[index].track)
        flattened, masked = "rtc_anf" in self._plan.layers, self._resolved.sea != "none"
        source = PassSource(
            grid,
            dem,
            files,
            self._resolved.backscatter,
            ratio=StoredLayer(self._path, "rtc_anf", number) if flattened else None,
            sea=StoredLayer(self._path, "mask", number) if masked else None,
            delay=self._resolved.path_delay,
            speckle=self._speckle(index),
            noise="nesz" in self._plan.layers,
        )
        return backscatter(source, self._block)

    def _speckle(self, index: int) -> Speckle | None:
        """Filter of a pass's images; for Lee Sigma what is bright in each is found first."""
        name = self._resolved.speckle
        if name == "none":
            return None
        options = () if name in ("boxcar", "lee-sigma") else (("looks", GRD_LOOKS),)
        if not FILTERS[name].needs_z98:
            return Speckle(name, options)
        files = self._files(index)
        lazy = bright_levels(self._resolved.grid, files, self._resolved.backscatter)
        with self._progress.stage(f"bright targets {self._name(index)}", len(lazy)) as advance:
            found = [float(level) for level in self._runner.run(lazy, advance)]
        count = len(self._plan.polarisations)
        rows = (tuple(found[at : at + count]) for at in range(0, len(found), count))
        return Speckle(name, options, tuple(rows))

    def _histogram(self) -> Any:
        polarisations = self._plan.polarisations
        return partial(
            tile_histograms,
            vv=polarisations.index("vv"),
            vh=polarisations.index("vh") if "vh" in polarisations else None,
        )

    def _flag(self, name: str, index: int) -> bool:
        return bool(stored_array(self._path, name)[index])

    def _reference(self, number: int, track: int) -> None:
        members = self._plan.reference_passes(track)
        if len(members) < 2:
            return
        layers = tuple(
            tuple(StoredLayer(self._path, name, index) for index in members)
            for name in self._plan.polarisations
        )
        targets = [Target(f"reference_{name}", number) for name in self._plan.polarisations]
        statistics = (
            {"statistics/reference_histogram": (number, self._histogram())}
            if "vv" in self._plan.polarisations
            else None
        )
        self._stage(
            f"reference_{track}",
            f"reference of orbit {track} from {len(members)} passes",
            reference(layers, self._shape, self._block),
            targets,
            statistics,
        )

    def _water(self, prefix: str, kind: str, index: int) -> WaterSource:
        """Image and fitted water model of a pass or of a track's reference."""
        image = Polarised(
            StoredLayer(self._path, f"{prefix}vv", index),
            StoredLayer(self._path, f"{prefix}vh", index)
            if "vh" in self._plan.polarisations
            else None,
        )
        if (kind, index) not in self._models:
            counts = np.asarray(stored_array(self._path, f"statistics/{kind}")[index])
            tiles = counts.reshape(-1, *counts.shape[2:]).astype("int64")
            self._models[kind, index] = fit(tiles.sum(axis=0), tiles)
        return WaterSource(image, self._models[kind, index])

    def _permanent(self) -> None:
        """Permanent water from the passes before the event, where no layer was given."""
        if "permanent_water" not in self._plan.layers or self._resolved.permanent_water:
            return
        before = [index for index, one in enumerate(self._plan.passes) if one.role == "before"][
            -_PERMANENT_PASSES:
        ]
        sources = tuple(self._water("", "histogram", index) for index in before)
        self._stage(
            "permanent_water",
            f"permanent water from {len(before)} passes",
            permanent_water(sources, self._shape, self._block),
            [Target("permanent_water")],
        )

    def _flood(self, index: int) -> None:
        if self._flag("complete", index):
            return
        if self._resolved.network is not None:
            self._by_network(self._resolved.network, index)
            return
        track = self._plan.passes[index].track
        number = self._plan.tracks.index(track)
        referenced = self._plan.referenced(track)
        permanent = "permanent_water" in self._plan.layers
        source = FloodSource(
            now=self._water("", "histogram", index),
            before=self._water("reference_", "reference_histogram", number) if referenced else None,
            permanent=StoredLayer(self._path, "permanent_water") if permanent else None,
            mask=StoredLayer(self._path, "mask", number),
            classes=referenced or permanent,
        )
        self._stage(
            f"flood_{index}",
            f"water and flood {self._name(index)}",
            flood_classes(source, self._shape, self._block),
            [Target("water_probability", index), Target("flood", index)],
        )
        set_flag(Path(self._path), "complete", index)

    def _by_network(self, network: Model, index: int) -> None:
        """Water, flood and their uncertainty by a model of the catalog."""
        # torch takes two seconds and 300 MB, which other builds do without
        from cube.infer.cubes import pass_layers
        from pipelines.infer import pass_source, targets_of_pass

        source = pass_source(self._path, self._plan, index, models=[network.where])
        self._stage(
            f"flood_{index}",
            f"water and flood {self._name(index)}",
            pass_layers(source, self._shape, self._block),
            targets_of_pass(source, index),
        )
        set_flag(Path(self._path), "complete", index)


def _raster(path: str | Path | None) -> Raster | None:
    return None if path is None else describe(str(path))[0]
