"""The parts of the product annotation that describe instrument, platform and data quality.

Values that the simulation has no model of (gaps, biases, bit errors) are those of a faultless
acquisition; element names and order are those of the product schema (S1-RS-MDA-52-7441).
"""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import numpy as np

from cube.simulate.product import ProductSpec, Swath
from cube.simulate.xmltree import Value, counted, double_vector, leaf, node, single, vector

__all__ = ["ads_header", "general_annotation", "quality_information", "statistics"]

RADAR_FREQUENCY_HZ = 5.405000454334350e9
SAMPLING_HZ = 6.434523812571428e7
BURST_S = 2.758
"""Time from burst to burst of a sub-swath, as annotated in IW products."""
STEERING_DEG_S = {"IW1": 1.590368784, "IW2": 0.979863325, "IW3": 1.397440818}
PULSE_S = {"IW1": 5.240481033595628e-5, "IW2": 6.199592966536363e-5, "IW3": 5.339056426703426e-5}
PULSE_INTERVAL_S = {
    "IW1": 5.823674372819869e-4,
    "IW2": 6.888821458346830e-4,
    "IW3": 5.931840885257075e-4,
}
DOWNLINK_ERRORS = [
    "SyncMarker",
    "DataTakeId",
    "EccNumber",
    "TestMode",
    "RxChannelId",
    "InstrumentConfigId",
    "PacketCount",
    "PriCount",
    "SsbErrorFlag",
    "BaqMode",
    "BaqBlockLength",
    "RangeDecimation",
    "RxGain",
    "TxRampRate",
    "TxPulseStartFrequency",
    "Rank",
    "Pri",
    "Swst",
    "Swl",
    "Polarisation",
    "TempComp",
    "ElevationBeamAddress",
    "AzimuthBeamAddress",
    "SasTestMode",
    "CalType",
    "CalibrationBeamAddress",
    "CalMode",
    "TxPulseNumber",
    "SignalType",
    "SwapFlag",
    "SwathNumber",
    "NumberOfQuads",
]


def ads_header(spec: ProductSpec, polarisation: str) -> ET.Element:
    """Header that all annotation data sets of one image share."""
    return node(
        "adsHeader",
        missionId=spec.mission,
        productType="GRD",
        polarisation=polarisation,
        mode="IW",
        swath="IW",
        startTime=spec.first_line_time,
        stopTime=spec.last_line_time,
        absoluteOrbitNumber=spec.absolute_orbit,
        missionDataTakeId=spec.datatake,
        imageNumber=f"{spec.polarisations.index(polarisation) + 1:03d}",
    )


def statistics(mean: float, deviation: float) -> ET.Element:
    """Mean and standard deviation of the digital numbers, as complex numbers."""
    return node(
        "imageStatistics",
        [
            node("outputDataMean", re=single([mean]), im=single([0.0])),
            node("outputDataStdDev", re=single([deviation]), im=single([0.0])),
        ],
    )


def quality_information(spec: ProductSpec, mean: float, deviation: float) -> ET.Element:
    """Quality of a faultless acquisition, with the statistics of the image."""
    gaps: dict[str, Value] = {}
    for source in ("Downlink", "Instrument", "SsbError"):
        flag = source[0].lower() + source[1:]
        gaps[f"num{source}InputDataGaps"] = 0
        gaps[f"{flag}GapsInInputDataSignificantFlag"] = False
        gaps[f"num{source}InputMissingLines"] = 0
        gaps[f"{flag}MissingLinesSignificantFlag"] = False
    downlink = node(
        "downlinkQuality",
        iInputDataMean=0.0,
        qInputDataMean=0.0,
        inputDataMeanOutsideNominalRangeFlag=False,
        iInputDataStdDev=8.9,
        qInputDataStdDev=8.9,
        inputDataStDevOutsideNominalRangeFlag=False,
        **gaps,
        chirpSourceUsed="Nominal",
        pgSourceUsed="Extracted",
        rrfSpectrumUsed="Extended Tapered",
        replicaReconstructionFailedFlag=False,
        meanPgProductAmplitude=1.0,
        stdDevPgProductAmplitude=0.0,
        meanPgProductPhase=0.0,
        stdDevPgProductPhase=0.0,
        pgProductDerivationFailedFlag=False,
        invalidDownlinkParamsFlag=False,
    )
    raw = node(
        "rawDataAnalysisQuality",
        iBias=0.0,
        iBiasSignificanceFlag=False,
        qBias=0.0,
        qBiasSignificanceFlag=False,
        iqGainImbalance=1.0,
        iqGainSignificanceFlag=False,
        iqQuadratureDeparture=0.0,
        iqQuadratureDepartureSignificanceFlag=False,
    )
    doppler = node(
        "dopplerCentroidQuality", dcMethod="Data Analysis", dopplerCentroidUncertainFlag=False
    )
    image = node(
        "imageQuality",
        [
            statistics(mean, deviation),
            leaf("outputDataMeanOutsideNominalRangeFlag", False),
            leaf("outputDataStDevOutsideNominalRangeFlag", False),
        ],
    )
    data = node("qualityData", [downlink, raw, doppler, image], azimuthTime=spec.first_line_time)
    return node("qualityInformation", [counted("qualityDataList", [data])], productQualityIndex=0.0)


def general_annotation(spec: ProductSpec) -> ET.Element:
    """Orbit, attitude, downlink and the other general records."""
    swaths = spec.swaths
    information: dict[str, Value] = {
        "pass": spec.direction.capitalize(),
        "timelinessCategory": "Fast-24h",
        "platformHeading": platform_heading_deg(spec),
        "projection": "Ground Range",
        "rangeSamplingRate": SAMPLING_HZ,
        "radarFrequency": RADAR_FREQUENCY_HZ,
        "azimuthSteeringRate": STEERING_DEG_S["IW1"],
    }
    return node(
        "generalAnnotation",
        [
            node("productInformation", **information),
            counted("downlinkInformationList", [_downlink(spec, swath) for swath in swaths]),
            counted("orbitList", _orbit(spec)),
            counted("attitudeList", _attitude(spec)),
            counted("rawDataAnalysisList", [_raw_analysis(spec) for _ in swaths]),
            counted("replicaInformationList", [_replica(spec, swath) for swath in swaths]),
            counted("noiseList", [_noise_pulse(spec, swath) for swath in swaths]),
            counted("terrainHeightList", _terrain_heights(spec)),
            counted("azimuthFmRateList", _fm_rates(spec)),
        ],
    )


def platform_heading_deg(spec: ProductSpec) -> float:
    """Direction of flight over the ground, clockwise from north, -180..180."""
    geometry = spec.geometry
    middle = geometry.first_line_s + geometry.lines * geometry.line_step_s / 2
    state = geometry.orbit.state(middle)
    x, y, z = state.position
    lon, lat = math.atan2(y, x), math.atan2(z, math.hypot(x, y))
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.array(
        [-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)]
    )
    return math.degrees(math.atan2(float(state.velocity @ east), float(state.velocity @ north)))


def _sensing(spec: ProductSpec) -> tuple[np.datetime64, np.datetime64]:
    first = spec.all_slices[0]
    return spec.time(first.start_s), spec.time(first.stop_s)


def _downlink(spec: ProductSpec, swath: Swath) -> ET.Element:
    """Radar settings whose echo window encloses the beam: rank, window start and length."""
    start, stop = _sensing(spec)
    interval, pulse = PULSE_INTERVAL_S[swath.name], PULSE_S[swath.name]
    rank = int(swath.near_time_s // interval)
    bandwidth = 5.65e7 if swath.name == "IW1" else 4.83e7
    values = node(
        "downlinkValues",
        [
            node(
                "dataFormat",
                baqBlockLength=256,
                echoFormat="FDBAQ",
                noiseFormat="BAQ 5 Bit",
                calibrationFormat="Decimation",
                meanBitRate=1.2,
            ),
            node(
                "rangeDecimation",
                decimationFilterBandwidth=5.659e7,
                samplingFrequencyAfterDecimation=SAMPLING_HZ,
                filterLength=36,
            ),
            leaf("rxGain", -4.0),
            leaf("txPulseLength", pulse),
            leaf("txPulseStartFrequency", -bandwidth / 2),
            leaf("txPulseRampRate", bandwidth / pulse),
            leaf("swathNumber", 9 + int(swath.name[-1])),
            counted(
                "swlList",
                [
                    node(
                        "swl", azimuthTime=start, value=swath.far_time_s - swath.near_time_s + pulse
                    )
                ],
            ),
            counted(
                "swstList",
                [node("swst", azimuthTime=start, value=swath.near_time_s - rank * interval)],
            ),
            counted("pointingStatusList", []),
        ],
        pri=interval,
        rank=rank,
        dataTakeId=spec.datatake % 65536,
        eccNumber=8,
        rxChannelId=0 if spec.polarisations[0] == "VV" else 1,
        instrumentConfigId=7,
    )
    errors: dict[str, Value] = {f"numErr{name}": 0 for name in DOWNLINK_ERRORS}
    return node(
        "downlinkInformation",
        [node("bitErrorCount", **errors, numIspHeaderErrors=0), values],
        swath=swath.name,
        azimuthTime=spec.first_line_time,
        firstLineSensingTime=start,
        lastLineSensingTime=stop,
        prf=1 / interval,
    )


def _orbit(spec: ProductSpec) -> list[ET.Element]:
    """State vectors every 10 s, from more than a minute before the image to a minute after."""
    geometry = spec.geometry
    first = math.floor(geometry.first_line_s / 10) * 10 - 70.0
    last = geometry.first_line_s + geometry.lines * geometry.line_step_s + 70.0
    times = np.arange(first, max(last, first + 160.0), 10.0)
    state = geometry.orbit.state(times)
    return [
        node(
            "orbit",
            [
                node("position", **_vector(position)),
                node("velocity", **_vector(velocity)),
            ],
            time=spec.time(float(time)),
            frame="Earth Fixed",
        )
        for time, position, velocity in zip(times, state.position, state.velocity, strict=True)
    ]


def _vector(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> dict[str, Value]:
    return {axis: float(round(value, 6)) for axis, value in zip("xyz", values, strict=True)}


def _attitude(spec: ProductSpec) -> list[ET.Element]:
    """Nominal attitude a second; the simulation has no attitude errors."""
    geometry = spec.geometry
    seconds = math.ceil(geometry.lines * geometry.line_step_s) + 1
    quiet: dict[str, Value] = dict.fromkeys(("wx", "wy", "wz"), 0.0)
    return [
        node(
            "attitude",
            time=spec.time(geometry.first_line_s + second),
            frame="GM2000",
            q0=single([1.0]),
            q1=single([0.0]),
            q2=single([0.0]),
            q3=single([0.0]),
            **quiet,
            roll=29.45,
            pitch=0.0,
            yaw=0.0,
        )
        for second in range(seconds)
    ]


def _raw_analysis(spec: ProductSpec) -> ET.Element:
    values: dict[str, Value] = {
        "iBias": 0.0,
        "qBias": 0.0,
        "iqQuadratureDeparture": 0.0,
        "iqGainImbalance": 1.0,
    }
    bounds: dict[str, Value] = {}
    for name, centre in (("iBias", 0), ("qBias", 0), ("iqGain", 1), ("iqQuadratureDeparture", 0)):
        bounds[f"{name}UpperBound"] = centre + 0.01
        bounds[f"{name}LowerBound"] = centre - 0.01
    for name in ("iBias", "qBias", "iqGainImbalance", "iqQuadratureDeparture"):
        bounds[f"{name}UsedForCorrection"] = values[name]
    return node(
        "rawDataAnalysis", [node("support", **bounds)], azimuthTime=spec.first_line_time, **values
    )


def _replica(spec: ProductSpec, swath: Swath) -> ET.Element:
    reference = node(
        "referenceReplica",
        [
            vector("amplitudeCoefficients", [1.0, 0.0, 0.0, 0.0]),
            vector("phaseCoefficients", [0.0, 0.0, 5.39e11, 0.0]),
            leaf("timeDelay", single([4.4e-7])),
            node("gain", re=single([1.0]), im=single([0.0])),
        ],
        azimuthTime=spec.first_line_time,
        chirpSource="Nominal",
        pgSource="Extracted",
    )
    return node("replicaInformation", [reference, counted("replicaList", [])], swath=swath.name)


def _noise_pulse(spec: ProductSpec, swath: Swath) -> ET.Element:
    return node(
        "noise",
        swath=swath.name,
        azimuthTime=_sensing(spec)[0],
        noisePowerCorrectionFactor=single([1.0]),
        numberOfNoiseLines=8,
    )


def _terrain_heights(spec: ProductSpec) -> list[ET.Element]:
    """Mean height every 10 s from 10 s before the image, as the SRGR polynomials assume it."""
    geometry = spec.geometry
    return [
        node(
            "terrainHeight",
            azimuthTime=spec.time(geometry.first_line_s + offset),
            value=geometry.terrain_height_m,
        )
        for offset in (-10.0, 0.0, 10.0)
    ]


def _fm_rates(spec: ProductSpec) -> list[ET.Element]:
    """Azimuth FM rate of a point at broadside: -2 V^2 / (lambda R), a line in slant time."""
    geometry = spec.geometry
    swath = spec.swaths[0]
    wavelength = 299_792_458.0 / RADAR_FREQUENCY_HZ
    state = geometry.orbit.state(geometry.first_line_s)
    speed2 = float(state.velocity @ state.velocity) * 6.371e6 / geometry.orbit.radius_m
    rate = -2 * speed2 / (wavelength * swath.near_time_s * 299_792_458.0 / 2)
    polynomial = [rate, -rate / swath.near_time_s, rate / swath.near_time_s**2]
    return [
        node(
            "azimuthFmRate",
            [double_vector("azimuthFmRatePolynomial", polynomial)],
            azimuthTime=spec.time(geometry.first_line_s + offset),
            t0=swath.near_time_s,
        )
        for offset in (0.0, BURST_S)
    ]
