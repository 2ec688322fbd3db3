"""Where ended calls go: what is told of the folders at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from audiosocket_gw.ledger.archive import Archive
from audiosocket_gw.settings import GatewaySettings, Settings


@pytest.mark.parametrize(("mode", "told"), [(0o700, False), (0o775, False), (0o777, True)])
def test_a_folder_in_which_anybody_could_put_another_file_is_told(
    tmp_path: Path, mode: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(mode)
    settings = Settings(call_log=tmp_path / "calls.jsonl", history_db=tmp_path / "history.db")
    with Archive(GatewaySettings.of(settings).ledger):
        pass
    found = [message.partition(": ")[0] for message in caplog.messages if "every user" in message]
    expected = [f"the folder of {name}, {tmp_path}" for name in ("CALL_LOG", "HISTORY_DB")]
    assert found == expected * told
