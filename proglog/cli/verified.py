"""What verify and doctor report for programs."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from proglog.log.verify import VerifyReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemShape:
    """One finding."""

    severity: Literal["damage", "repaired", "note"]
    """damage: records are lost here; repaired: the next start puts it right; note: nothing to do."""
    file: str
    """Name in the data directory."""
    what: str
    """What is wrong, in words."""
    advice: str
    """What to do about it, in words."""
    start_offset: int | None
    """First record concerned; null: none is."""
    end_offset: int | None
    """One past the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedShape:
    """The totals and findings of a verification."""

    ok: bool
    """Whether no record is damaged."""
    segment_count: int
    batch_count: int
    record_count: int
    stored_bytes: int
    start_offset: int
    end_offset: int
    """One past the last."""
    findings: tuple[ProblemShape, ...]


def verified_shape(report: "VerifyReport") -> dict[str, Any]:
    """Return the fields of a :class:`VerifiedShape`."""
    made = {each.name: getattr(report, each.name) for each in fields(VerifiedShape)}
    problems = (
        ProblemShape(**{each.name: getattr(finding, each.name) for each in fields(ProblemShape)})
        for finding in report.findings
    )
    return made | {"findings": tuple(problems)}
