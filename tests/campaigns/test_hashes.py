"""Hashes of what a build makes: times and versions change none, a bit of a result changes one."""

import json

from campaigns.hashes import differences, digests


def test_times_and_versions_change_no_hash_and_results_do(tmp_path):
    def written(seconds: float, psnr: float) -> dict[str, str]:
        (tmp_path / "results.jsonl").write_text(json.dumps({"psnr": psnr, "seconds": seconds}) + "\n")
        (tmp_path / "config.json").write_text(json.dumps({"versions": {"torch": str(seconds)}, "steps": [{"n": 1}]}))
        (tmp_path / "report.html").write_text(f"{seconds} s")
        return digests(tmp_path)

    first = written(1.0, 20.5)
    assert sorted(first) == ["config.json", "results.jsonl"]
    assert written(2.0, 20.5) == first
    assert written(1.0, 20.500001)["results.jsonl"] != first["results.jsonl"]


def test_a_bit_of_a_picture_is_told_by_its_path_and_steps_that_failed_are_not_compared(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x00\x01")
    before = {"scene": digests(tmp_path), "rooms": {"b.png": "1"}}
    (tmp_path / "a.png").write_bytes(b"\x00\x00")
    after = {"scene": {**digests(tmp_path), "new.ply": "2"}, "rooms": {}}
    assert differences(before, before) == (2, [])
    assert differences(before, after) == (0, ["scene/a.png", "scene/new.ply"])
