"""What a ladder says about the spike-ins of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.manifests.ladder import SpikedShareRecord, SpikedStepsRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.build.ladder_lines import Step
    from curate.build.spike_ins import SpikeIns


def ladder_spike_ins(spike_ins: SpikeIns, steps: Sequence[Step], *, nested: bool) -> SpikedStepsRecord:
    """Return what a ladder says about the spike-ins of its steps."""
    n_lost = max((step.n_lost for step in steps), default=0)
    return SpikedStepsRecord(
        shares=tuple(
            SpikedShareRecord(source=source.name, id=source.id, fraction=share)
            for source, share in spike_ins.shares
        ),
        mode=spike_ins.mode,
        balance=spike_ins.balance,
        suffix=spike_ins.suffix,
        nested=n_lost == 0 if nested else None,
        n_lost=n_lost,
    )
