"""Chains in a policy's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast._core.chain import DAY_S, Risk, Stage, StepUp
from holdfast.errors import InvalidTool
from holdfast.policies.kinds import is_list
from holdfast.policies.model import ChainRules, ChainStage
from holdfast.policies.sections import Place, length, only, section, text, texts


def chain(given: Any, place: Place) -> ChainRules:
    """Return a chain.

    Raises:
        InvalidPolicy: It cannot be understood, or would let something through.
    """
    told = section(given, place)
    only(told, place, "stages", "valid_for", "apart", "risk", "step_up", "on_timeout")
    if told.get("on_timeout", "deny") != "deny":
        raise place.refusal("on_timeout is not deny", "leave it out: whatever nobody decides is denied")
    stages = told.get("stages")
    if not is_list(stages) or not stages:
        raise place.refusal("it has no stages", "say who has to approve: nobody's approval is none")
    step_up = _step_up(told["step_up"], place) if "step_up" in told else None
    risk = text(told, "risk", place, default="normal")
    return ChainRules(
        stages=tuple(_stage(item, place, step_up) for item in stages),
        valid_s=length(told, "valid_for", place, default=DAY_S),
        apart=texts(told, "apart", place) if "apart" in told else (),
        risk=_risk(risk, place),
    )


def _risk(given: str, place: Place) -> Risk:
    match given:
        case "low" | "normal" | "high":
            return given
        case _:
            raise place.refusal("risk is none of low, normal, high", "say one of the three")


def _stage(given: Any, place: Place, step_up: StepUp | None) -> ChainStage:
    told = section(given, place)
    here = Place(place.file, told, place.part)
    only(told, here, "role", "quorum", "limited", "timeout", "remind", "escalate", "step_up", "if")
    escalate = told.get("escalate")
    own = _step_up(told["step_up"], here) if "step_up" in told else step_up
    try:
        stage = Stage(
            role=_role(text(told, "role", here), here),
            quorum=told.get("quorum", 1),
            limited=_flag(told, "limited", here),
            timeout_s=length(told, "timeout", here, default=7 * DAY_S),
            remind_s=tuple(length({"remind": one}, "remind", here) for one in _reminders(told, here)),
            escalate="" if escalate is None else _escalation(escalate, here)[0],
            escalate_s=None if escalate is None else _escalation(escalate, here)[1],
            step_up=own,
        )
    except InvalidTool as error:
        raise here.refusal(error.what, error.fix) from error
    when = told.get("if", "true")
    if isinstance(when, bool):
        when = "true" if when else "false"
    if not isinstance(when, str):
        raise here.refusal("if is no expression", "give it as text")
    return ChainStage(stage=stage, when=when)


def _role(given: str, place: Place) -> str:
    if not given.strip():
        raise place.refusal("a stage of no role", "name one, or '*' for everybody who is known")
    return "" if given == "*" else given


def _reminders(told: Mapping[str, Any], place: Place) -> list[Any]:
    found = told.get("remind", [])
    if not is_list(found):
        raise place.refusal("remind is no list", "give lengths of time, e.g. [1h, 1d]")
    return found


def _escalation(given: Any, place: Place) -> tuple[str, float]:
    told = section(given, place)
    only(told, place, "to", "after")
    return text(told, "to", place), length(told, "after", place)


def _step_up(given: Any, place: Place) -> StepUp:
    told = section(given, place)
    only(told, place, "mfa", "max_age")
    try:
        return StepUp(
            mfa=_flag(told, "mfa", place),
            max_age_s=length(told, "max_age", place) if "max_age" in told else None,
        )
    except InvalidTool as error:
        raise place.refusal(error.what, error.fix) from error


def _flag(told: Mapping[str, Any], key: str, place: Place) -> bool:
    found = told.get(key, False)
    if not isinstance(found, bool):
        raise place.refusal(f"{key} is neither true nor false", "say one of the two")
    return found
