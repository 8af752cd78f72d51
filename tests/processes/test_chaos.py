"""Three replicas, one of them killed or frozen every few seconds, and PostgreSQL restarted: nothing is doubled or lost."""

from pathlib import Path

import pytest

from tests.processes import chaos


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whatever_becomes_of_replicas_each_order_is_one_instance_and_each_answer_holds(
    tmp_path: Path,
) -> None:
    outcome = chaos.run(tmp_path, seconds=30, clients=3)
    assert not outcome.problems, f"{outcome.figures}\n" + "\n".join(outcome.problems)
    assert outcome.figures["unanswered"] == 0
