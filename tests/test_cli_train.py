"""`ropesim train slash` as a user types it."""

import json

import pytest
import xarray

from ropesim.cli import main

SMALL = ["--K", "2", "--N", "21"]


def code(*argv):
    with pytest.raises(SystemExit) as caught:
        main(["train", "slash", *argv])
    return caught.value.code


def test_json_is_that_of_the_contract(capsys):
    assert code(*SMALL, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"schema", "lag_argmax", "slash", "times", "loss_plateau", "loss_final", "ood"} <= set(found)
    assert set(found["times"]) == {"log_N", "log_KN", "log_N_over_eps", "stage_2", "stage_2_final"}
    assert all({"measured", "predicted"} <= set(one) for one in found["times"].values())
    assert set(found["ood"]) == {"measured", "bound"}


def test_the_table_has_a_line_for_each_prediction(capsys):
    assert code(*SMALL) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [
        "log_N", "log_KN", "log_N_over_eps", "stage_2", "stage_2_final", "loss_plateau", "loss_final", "ood"]


def test_a_folder_gets_the_trajectory_and_the_picture(tmp_path, capsys):
    assert code("--K", "2", "--N", "41", "--quiet", "--out", str(tmp_path / "new" / "a")) == 0
    kept = xarray.open_zarr(tmp_path / "new" / "a" / "trajectory.zarr")
    assert kept.sizes["lag"] == 41 and float(kept.loss[-1]) <= 0.01
    assert (tmp_path / "new" / "a" / "training.png").read_bytes()[-8:-4] == b"IEND" and capsys.readouterr().out == ""


@pytest.mark.parametrize("argv, words", [
    (["--K", "21", "--N", "21"], "--K = 21"), (["--N", "20"], "--N = 20"), (["--lag", "-1"], "--lag = -1"),
    (["--lag", "400"], "--lag = 400"), (["--eps", "1"], "--eps = 1"), (["--eps", "nan"], "--eps = nan"),
    (["--seed", "-1"], "--seed = -1"), (["--K", "1"], "--K = 1"), (["--preset", "llama"], "--preset = 'llama'"),
    (["nowhere.toml"], "SPEC = 'nowhere.toml'"), (["slash-head"], "SPEC = 'slash-head'")])
def test_bad_input_exits_2_with_one_line(argv, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert code(*argv, "--out", "new") == 2
    out, err = capsys.readouterr()
    assert words in err and err.count("\n") == 1 and out == "" and not (tmp_path / "new").exists()


SPEC = """
[rope]
kind = "random"
pairs = 12
[train]
kind = "slash"
classes = 2
length = 21
steps = 30
"""


def test_a_spec_says_what_options_do_not_and_options_go_before_it(tmp_path, capsys):
    (tmp_path / "a.toml").write_text(SPEC)
    folder = tmp_path / "a"
    assert code(str(tmp_path / "a.toml"), "--lag", "2", "--quiet", "--out", str(folder)) == 0
    kept = xarray.open_zarr(folder / "trajectory.zarr")
    assert kept.attrs["label_lag"] == 2 and kept.sizes["pair"] == 12 and int((kept.stage == 1).sum()) == 31
    assert code(str(tmp_path / "a.toml"), "--preset", "smollm2-135m") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "not reached" in lines[1] and "unknown" in lines[4]


def test_both_layers_at_once(capsys):
    assert code(*SMALL, "--together", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["loss_plateau"] == {"measured": None, "predicted": None, "error": None}
    assert found["loss_final"]["measured"] <= 0.01


def test_a_sweep_belongs_to_run(tmp_path, capsys):
    (tmp_path / "a.toml").write_text(SPEC + '[sweep]\n"train.lag" = [1, 2]\n')
    assert code(str(tmp_path / "a.toml")) == 2
    assert "ropesim run" in capsys.readouterr().err


def test_a_run_that_diverges_says_when_and_keeps_what_came_before(tmp_path, capsys):
    (tmp_path / "a.toml").write_text(SPEC + "eta = 1e6\n")
    assert code(str(tmp_path / "a.toml"), "--quiet", "--out", str(tmp_path / "a")) == 1
    assert "diverged at step 1" in capsys.readouterr().err
    assert xarray.open_zarr(tmp_path / "a" / "trajectory.zarr").sizes["step"] >= 1


def test_a_file_is_no_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert code(*SMALL, "--out", str(tmp_path / "file")) == 2
    assert "use a folder" in capsys.readouterr().err


def test_results_of_another_run_stay_unless_they_may_go(tmp_path, capsys):
    out = ["--out", str(tmp_path / "a")]
    assert code(*SMALL, *out, "--quiet") == code(*SMALL, *out, "--quiet") == 0          # the same run again
    before = (tmp_path / "a" / "training.png").read_bytes()
    assert code(*SMALL, "--seed", "7", *out) == 2 and "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "a" / "training.png").read_bytes() == before
    assert code(*SMALL, "--seed", "7", *out, "--overwrite", "--quiet") == 0
    assert (tmp_path / "a" / "training.png").read_bytes() != before
    assert code(str(tmp_path / "a" / "spec.toml"), *out, "--quiet") == 0                # it says what was run
