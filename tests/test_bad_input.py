"""Every door of the command line given something wrong: exit 2, one line that says what to do, nothing written."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray

from ropesim.cli import main

ROPE = '[rope]\nkind = "custom"\ntheta = [1.0, 0.1]\n'
GEOMETRIC = '[rope]\nkind = "geometric"\nhead_dim = 8\nbase = 1e4\n'
BARE = '[head]\nkind = "slash"\nlag = 3\n'
HEAD = BARE + "strength = 2.0\n"
CONSTANT = '[head]\nkind = "constant"\n'
RUN = "[run]\nlength = 16\n"
GOOD = ROPE + HEAD + RUN
SWEEP = GOOD + '[sweep]\n'


def rope(text):
    return f"[rope]\n{text}\n{HEAD}{RUN}"


def geometric(text):
    return f"{GEOMETRIC}{text}\n{HEAD}{RUN}"


def scaling(text):
    return geometric(f"scaling = {{ {text} }}")


def slash(text, run=""):
    return f"{ROPE}{BARE}{text}\n{RUN}{run}"


SOUND = {
    "gaussian": "sigma_q = 0.5\nsigma_k = 0.5\ncorrelation = 0.5",
    "cone": "cosine = 0.6\nwidth = 8\nsigma = 1.0\nweights_seed = 0",
    "ar1": "rho_q = 0.9\nrho_k = 0.5\nsigma_q = 0.5\nsigma_k = 0.5",
    "random-walk": "step = 0.1",
    "seasonal": "period = 4\nsigma_q = 0.5\nsigma_k = 0.5",
    "jumping": "rate = 0.5\ngain = 1.0\nsigma_k = 0.5\nreach = 4",
    "massive": "pair = 1\nmassive_q = 9.0\nmassive_k = 5.0\nsigma_q = 0.5\nsigma_k = 0.5",
}


def random_head(kind, line="", run=RUN):
    """A sound spec of that kind, but for the line of one field ("" for a sound one; "x" leaves x out)."""
    name = line.split(" = ")[0]
    rest = [row for row in SOUND[kind].splitlines() if row.split(" = ")[0] != name]
    return f'{ROPE}[head]\nkind = "{kind}"\n' + "\n".join([*rest, line if " = " in line else ""]) + "\n" + run


def captured(text, run=""):
    return f'[head]\nkind = "captured"\n{text}\n{run}'


def capture_file(name):
    return captured(f'file = "{name}"\nlayer = 0\nhead = 0')


def swept(text):
    return f"{SWEEP}{text}\n"


RECORDED = 'file = "tiny.npz"\nlayer = 0\nhead = 0'

# id, the text of a spec, words of the one line
SPECS = [
    # tables
    ("no rope", HEAD + RUN, "rope = None: [rope] preset kind config"),
    ("no head", ROPE + RUN, "head = None: add"),
    ("no run", ROPE + HEAD, "run.length = None: give tokens"),
    ("misspelt table", GOOD + "[sweeep]\n", "sweeep = unknown did mean sweep?"),
    ("foreign table", GOOD + "[zzz]\n", "zzz = unknown known rope, head, run"),
    ("rope is a number", "rope = 5\n" + HEAD + RUN, "rope = 5: table"),
    ("head is a number", "head = 5\n" + ROPE + RUN, "head = 5: table"),
    ("run is a list", "run = [1]\n" + ROPE + HEAD, "run = [1]: table"),
    ("sink is a number", ROPE + HEAD + "sink = 4.0\n" + RUN, "head.sink = 4.0: table"),
    ("not TOML", GOOD + "this is not TOML", "SPEC = spec.toml TOML"),
    ("nested too deep", "x = " + "[" * 5000, "SPEC = spec.toml TOML"),
    ("a number of 5000 digits", "x = " + "9" * 5000, "SPEC = spec.toml TOML"),
    # rope
    ("no way to the bands", rope(""), "rope = None: exactly one preset kind config"),
    ("two ways to the bands", rope('preset = "llama-3-8b"\nkind = "custom"'), "rope = preset and kind exactly one"),
    ("kind unknown", rope('kind = "geometrik"'), "rope.kind = 'geometrik' use 'geometric' did mean geometric?"),
    ("kind a number", rope("kind = 1"), "rope.kind = 1: use 'geometric' 'custom'"),
    ("preset unknown", rope('preset = "llama-3.1-8"'), "rope.preset = 'llama-3.1-8' did mean 'llama-3.1-8b'?"),
    ("preset empty", rope('preset = ""'), "rope.preset = '': ropesim bands lists"),
    ("preset a number", rope("preset = 3"), "rope.preset = 3: string quotes"),
    ("preset with head_dim", rope('preset = "llama-3-8b"\nhead_dim = 8'), "rope.head_dim = 8: leave out preset"),
    ("preset with a bad base", rope('preset = "llama-3-8b"\nbase = 0.5'), "rope.base = 0.5: above 1"),
    ("preset with layer_type", rope('preset = "llama-3-8b"\nlayer_type = "a"'), "rope.layer_type = 'a': leave out"),
    ("head_dim missing", rope('kind = "geometric"\nbase = 1e4'), "rope.head_dim = None: give geometric"),
    ("base missing", rope('kind = "geometric"\nhead_dim = 8'), "rope.base = None: give geometric"),
    ("head_dim misspelt", rope('kind = "geometric"\nhaed_dim = 8\nbase = 1e4'),
     "rope.haed_dim = 8: unknown did mean head_dim?"),
    ("base misspelt", rope('kind = "geometric"\nhead_dim = 8\nbsae = 1e4'), "rope.bsae = 10000.0: unknown base?"),
    ("head_dim odd", rope('kind = "geometric"\nhead_dim = 7\nbase = 1e4'), "rope.head_dim = 7: even"),
    ("head_dim negative", rope('kind = "geometric"\nhead_dim = -8\nbase = 1e4'), "rope.head_dim = -8: from 2"),
    ("head_dim zero", rope('kind = "geometric"\nhead_dim = 0\nbase = 1e4'), "rope.head_dim = 0: from 2"),
    ("head_dim a float", rope('kind = "geometric"\nhead_dim = 8.0\nbase = 1e4'), "rope.head_dim = 8.0: whole"),
    ("head_dim a bool", rope('kind = "geometric"\nhead_dim = true\nbase = 1e4'), "rope.head_dim = True: whole"),
    ("head_dim a string", rope('kind = "geometric"\nhead_dim = "8"\nbase = 1e4'), "rope.head_dim = '8': whole"),
    ("head_dim enormous", rope('kind = "geometric"\nhead_dim = 1000000000000\nbase = 1e4'),
     "rope.head_dim = 1000000000000: 16777216 or less"),
    ("base one", rope('kind = "geometric"\nhead_dim = 8\nbase = 1.0'), "rope.base = 1.0: above 1"),
    ("base negative", rope('kind = "geometric"\nhead_dim = 8\nbase = -1e4'), "rope.base = -10000.0: above 1"),
    ("base infinite", rope('kind = "geometric"\nhead_dim = 8\nbase = inf'), "rope.base = inf: finite"),
    ("base nan", rope('kind = "geometric"\nhead_dim = 8\nbase = nan'), "rope.base = nan: finite"),
    ("base a string", rope('kind = "geometric"\nhead_dim = 8\nbase = "1e4"'), "rope.base = '1e4': number"),
    ("rotary_dim too large", geometric("rotary_dim = 10"), "rope.rotary_dim = 10: up to 8"),
    ("rotary_dim odd", geometric("rotary_dim = 3"), "rope.rotary_dim = 3: even"),
    ("rotary_dim a float", geometric("rotary_dim = 4.0"), "rope.rotary_dim = 4.0: whole"),
    ("context zero", geometric("context = 0"), "rope.context = 0: from 1"),
    ("context a string", geometric('context = "4k"'), "rope.context = '4k': whole"),
    ("pairs with geometric", geometric("pairs = 4"), "rope.pairs = 4: leave out geometric"),
    ("scaling a string", geometric('scaling = "linear"'), "rope.scaling = 'linear': table"),
    ("scaling without type", scaling(""), "rope.scaling.type = None: 'linear' 'yarn'"),
    ("scaling of unknown type", scaling('type = "yran"'), "rope.scaling.type = 'yran': did mean 'yarn'?"),
    ("scaling type a number", scaling("type = 3"), "rope.scaling.type = 3: 'linear' 'yarn'"),
    ("scaling key unknown", scaling('type = "linear", fator = 2.0'), "rope.scaling.fator = 2.0: did mean 'factor'?"),
    ("scaling key missing", scaling('type = "linear"'), "rope.scaling.factor = None: linear needs"),
    ("scaling factor nan", scaling('type = "linear", factor = nan'), "rope.scaling.factor = nan: finite"),
    ("scaling factor zero", scaling('type = "linear", factor = 0'), "rope.scaling.factor = 0: above 0"),
    ("scaling factor a string", scaling('type = "ntk", factor = "2"'), "rope.scaling.factor = '2': finite number"),
    ("scaling factor enormous", scaling('type = "ntk", factor = 1e300'), "rope.scaling factor 1e+300 usual size"),
    ("scaling factor minute", scaling('type = "linear", factor = 1e-310'), "rope.scaling factor 1e-310 usual size"),
    ("attention factor enormous", scaling('type = "yarn", factor = 2.0, original_max_position_embeddings = 64, '
                                          'attention_factor = 1e40'), "rope.scaling.attention_factor = 1e+40: less"),
    ("half-dft without pairs", rope('kind = "half-dft"'), "rope.pairs = None: give half-dft"),
    ("half-dft of no pairs", rope('kind = "half-dft"\npairs = 0'), "rope.pairs = 0: from 1"),
    ("half-dft of too many pairs", rope('kind = "half-dft"\npairs = 1000000000000'),
     "rope.pairs = 1000000000000: less"),
    ("custom without theta", rope('kind = "custom"'), "rope.theta = None: give custom"),
    ("theta empty", rope('kind = "custom"\ntheta = []'), "rope.theta = []: at least one"),
    ("theta a number", rope('kind = "custom"\ntheta = 1.0'), "rope.theta = 1.0: list"),
    ("theta with nan", rope('kind = "custom"\ntheta = [1.0, nan]'), "rope.theta.1 = nan: finite"),
    ("theta with a string", rope('kind = "custom"\ntheta = [1.0, "a"]'), "rope.theta.1 = 'a': number"),
    ("theta enormous", rope('kind = "custom"\ntheta = [1e300]'), "rope.theta.0 = 1e+300: less than"),
    ("theta beyond rotary_dim", rope('kind = "custom"\ntheta = [1.0, 0.1]\nrotary_dim = 2'), "rope.theta = 0.1: use 0"),
    ("config missing", rope('config = "no.json"'), "rope.config = 'no.json': no such file folder"),
    ("config empty", rope('config = ""'), "rope.config = read"),
    ("config a directory", rope('config = "folder"'), "rope.config = folder JSON read"),
    ("config not JSON", rope('config = "spec.toml"'), "rope.config = spec.toml JSON"),
    ("config not a mapping", rope('config = "list.json"'), "rope.config = list.json mapping"),
    ("config nested too deep", rope('config = "deep.json"'), "rope.config = deep.json JSON"),
    ("config not UTF-8", rope('config = "latin.json"'), "rope.config = latin.json JSON"),
    ("config without a head", rope('config = "empty.json"'), "rope.config.head_dim = None: hidden_size"),
    ("config with a bad base", rope('config = "base.json"'), "rope.config.rope_theta = 0.5: above 1"),
    ("config of two layer types", rope('config = "mixed.json"'), "rope.config.layer_type = None: 'full_attention'"),
    # head
    ("head without kind", ROPE + "[head]\nlag = 3\n" + RUN, "head.kind = None: constant slash captured"),
    ("head kind misspelt", ROPE + '[head]\nkind = "slahs"\n' + RUN, "head.kind = 'slahs': did mean slash?"),
    ("head kind a list", ROPE + '[head]\nkind = ["slash"]\n' + RUN, "head.kind = ['slash']: one of slash"),
    ("lag missing", ROPE + '[head]\nkind = "slash"\nstrength = 1.0\n' + RUN, "head.lag = None: add"),
    ("lag misspelt", ROPE + '[head]\nkind = "slash"\nleg = 3\nlag = 3\nstrength = 1.0\n' + RUN,
     "head.leg = 3: unknown did mean lag?"),
    ("lag a float", ROPE + '[head]\nkind = "slash"\nlag = 3.0\nstrength = 1.0\n' + RUN, "head.lag = 3.0: whole"),
    ("lag a bool", ROPE + '[head]\nkind = "slash"\nlag = true\nstrength = 1.0\n' + RUN, "head.lag = True: whole"),
    ("lag negative", ROPE + '[head]\nkind = "slash"\nlag = -1\nstrength = 1.0\n' + RUN, "head.lag = -1: 0 or more"),
    ("lag beyond the tokens", ROPE + '[head]\nkind = "slash"\nlag = 16\nstrength = 1.0\n' + RUN,
     "head.lag = 16: below run.length = 16"),
    ("lag of 7000 digits", ROPE + f'[head]\nkind = "slash"\nlag = 0x{"f" * 6000}\nstrength = 1.0\n' + RUN,
     "head.lag = digits below run.length = 16"),
    ("strength negative", slash("strength = -1.0"), "head.strength = -1.0: 0 or more"),
    ("strength a string", slash('strength = "2"'), "head.strength = '2': number"),
    ("strength infinite", slash("strength = inf"), "head.strength = inf: finite"),
    ("strength enormous", slash("strength = 1e308"), "head.strength = 1e+308: 1e+30 or less"),
    ("strength of 400 digits", slash("strength = " + "9" * 400), "head.strength = 9999 number"),
    ("neither score nor strength", slash(""), "head.score, head.strength = None: one of the two"),
    ("score and strength", slash("score = 0.5\nstrength = 1.0"), "head.score, head.strength = (0.5, 1.0): one of"),
    ("score above one", slash("score = 1.5"), "head.score = 1.5: 1 or less"),
    ("score negative", slash("score = -0.1"), "head.score = -0.1: 0 or more"),
    ("score nan", slash("score = nan"), "head.score = nan: finite"),
    ("score below the uniform one", slash("score = 0.001"),
     "head.score = 0.001: score in [ , 1) lag 3 run.length = 16"),
    ("score of one", slash("score = 1.0"), "head.score = 1.0: score in [ , 1)"),
    ("score that the sink forbids", slash("score = 0.99\nsink = { margin = 5.0 }"),
     "head.score = 0.99: score in [ sink"),
    ("score beyond the window", slash("score = 0.5", "window = 3\n"), "head.score = 0.5: no strength lag 3 window"),
    ("score of skipped keys", slash("score = 0.5", "skip = 13\n"), "head.score = 0.5: no strength lag 3 skip"),
    ("score without rotation", '[rope]\nkind = "custom"\ntheta = [0.0]\n' + BARE + "score = 0.5\n" + RUN,
     "head.score = 0.5: no strength"),
    ("noise negative", ROPE + HEAD + "noise = -0.1\n" + RUN, "head.noise = -0.1: 0 or more"),
    ("noise nan", ROPE + HEAD + "noise = nan\n" + RUN, "head.noise = nan: finite"),
    ("noise a bool", ROPE + HEAD + "noise = true\n" + RUN, "head.noise = True: number"),
    ("noise a date", ROPE + HEAD + "noise = 2020-01-01\n" + RUN, "head.noise = datetime.date(2020, 1, 1): number"),
    ("noise enormous", ROPE + HEAD + "noise = 1e200\n" + RUN, "head.noise = 1e+200: 1e+30 or less"),
    ("sink without margin", ROPE + HEAD + "sink = {}\n" + RUN, "head.sink.margin = None: add"),
    ("margin misspelt", ROPE + HEAD + "sink = { margni = 4.0, margin = 4.0 }\n" + RUN,
     "head.sink.margni = 4.0: unknown did mean margin?"),
    ("margin infinite", ROPE + HEAD + "sink = { margin = inf }\n" + RUN, "head.sink.margin = inf: finite"),
    ("margin a string", ROPE + HEAD + 'sink = { margin = "4" }\n' + RUN, "head.sink.margin = '4': number"),
    ("amplitude missing", ROPE + CONSTANT + "phase = [0.0, 0.0]\n" + RUN, "head.amplitude = None: add"),
    ("amplitude too short", ROPE + CONSTANT + "amplitude = [1.0]\nphase = [0.0, 0.0]\n" + RUN,
     "head.amplitude = [1.0]: one for each of the 2 pairs"),
    ("phase too long", ROPE + CONSTANT + "amplitude = [1.0, 1.0]\nphase = [0.0, 0.0, 0.0]\n" + RUN,
     "head.phase = [0.0, 0.0, 0.0]: one for each of the 2 pairs"),
    ("phase nan", ROPE + CONSTANT + "amplitude = [1.0, 1.0]\nphase = [0.0, nan]\n" + RUN, "head.phase.1 = nan: finite"),
    ("amplitude negative", ROPE + CONSTANT + "amplitude = [1.0, -1.0]\nphase = [0.0, 0.0]\n" + RUN,
     "head.amplitude.1 = -1.0: 0 or more"),
    ("amplitude a number", ROPE + CONSTANT + "amplitude = 1.0\nphase = [0.0, 0.0]\n" + RUN,
     "head.amplitude = 1.0: list"),
    ("lag of a constant head", ROPE + CONSTANT + "amplitude = [1.0, 1.0]\nphase = [0.0, 0.0]\nlag = 1\n" + RUN,
     "head.lag = 1: unknown amplitude"),
    # captured
    ("capture without file", captured("layer = 0\nhead = 0"), "head.file = None: add"),
    ("capture without layer", captured('file = "tiny.npz"\nhead = 0'), "head.layer = None: add"),
    ("capture file a number", captured("file = 1\nlayer = 0\nhead = 0"), "head.file = 1: string"),
    ("capture missing", capture_file("no.npz"), "head.file = 'no.npz': no such file folder"),
    ("capture name empty", capture_file(""), "head.file = .npz or .safetensors"),
    ("capture name too long", capture_file("a" * 300 + ".npz"), "head.file = aaaa read long"),
    ("capture a directory", capture_file("folder.npz"), "head.file = folder.npz directory"),
    ("capture of another format", capture_file("spec.toml"), "head.file = spec.toml .npz or .safetensors"),
    ("capture truncated", capture_file("truncated.npz"), "head.file = truncated.npz write again"),
    ("capture empty", capture_file("empty.npz"), "head.file = empty.npz write again"),
    ("capture of objects", capture_file("evil.npz"), "head.file = evil.npz q write again numbers"),
    ("capture without theta", capture_file("bare.npz"), "head.file = bare.npz theta lacks"),
    ("capture with nan", capture_file("nan.npz"), "head.file = nan.npz q = nan finite"),
    ("capture with enormous numbers", capture_file("large.npz"), "head.file = large.npz q below 1e+30"),
    ("capture layer not there", captured('file = "tiny.npz"\nlayer = 9\nhead = 0'),
     "head.layer, head.head = (9, 0): capture has (0, 0)"),
    ("capture head negative", captured('file = "tiny.npz"\nlayer = 0\nhead = -1'),
     "head.layer, head.head = (0, -1): has"),
    ("capture layer a float", captured('file = "tiny.npz"\nlayer = 0.0\nhead = 0'), "head.layer = 0.0: whole"),
    ("longer than the capture", captured(RECORDED, "[run]\nlength = 7\n"), "run.length = 7: at most 6 tokens capture"),
    ("capture with samples", captured(RECORDED, "[run]\nsamples = 16\n"), "run.samples = 16: leave out captured"),
    ("capture with seed", captured(RECORDED, "[run]\nseed = 0\n"), "run.seed = 0: leave out captured"),
    ("capture with scale", captured(RECORDED, "[run]\nscale = 1.0\n"), "run.scale = 1.0: leave out captured"),
    ("capture with noise", captured(RECORDED + "\nnoise = 0.1"), "head.noise = 0.1: leave out captured"),
    ("capture with sink", captured(RECORDED + "\nsink = { margin = 4.0 }"), "head.sink = 4.0 leave out captured"),
    ("capture with bands of another size", GEOMETRIC + captured(RECORDED), "pairs of rope = 4: capture 2 pairs"),
    ("lag to store beyond the capture", captured(RECORDED, "[run]\nlags = [6]\n"),
     "run.lags = 6: below run.length = 6"),
    # run
    ("length zero", ROPE + HEAD + "[run]\nlength = 0\n", "run.length = 0: 1 or more"),
    ("length negative", ROPE + HEAD + "[run]\nlength = -5\n", "run.length = -5: 1 or more"),
    ("length beyond 2**24", ROPE + HEAD + "[run]\nlength = 16777217\n", "run.length = 16777217: 16777216 or less"),
    ("length a float", ROPE + HEAD + "[run]\nlength = 16.0\n", "run.length = 16.0: whole"),
    ("length a string", ROPE + HEAD + '[run]\nlength = "16"\n', "run.length = '16': whole"),
    ("length a bool", ROPE + HEAD + "[run]\nlength = true\n", "run.length = True: whole"),
    ("length misspelt", ROPE + HEAD + "[run]\nlenght = 16\n", "run.lenght = 16: unknown did mean length?"),
    ("samples below zero", GOOD + "samples = -1\n", "run.samples = -1: 0 or more"),
    ("samples a float", GOOD + "samples = 1.5\n", "run.samples = 1.5: whole"),
    ("seed negative", GOOD + "seed = -1\n", "run.seed = -1: 0 or more"),
    ("replicate negative", GOOD + "replicate = -1\n", "run.replicate = -1: 0 or more"),
    ("skip negative", GOOD + "skip = -1\n", "run.skip = -1: 0 or more"),
    ("skip of 30 digits", GOOD + f"skip = {10 ** 30}\n", "run.skip = 1000 or less"),
    ("window negative", GOOD + "window = -1\n", "run.window = -1: 0 or more"),
    ("window nan", GOOD + "window = nan\n", "run.window = nan: whole"),
    ("scale zero", GOOD + "scale = 0.0\n", "run.scale = 0.0: 1e-30 or more"),
    ("scale nan", GOOD + "scale = nan\n", "run.scale = nan: finite"),
    ("scale enormous", GOOD + "scale = 1e300\n", "run.scale = 1e+300: 1e+30 or less"),
    ("quantity misspelt", GOOD + 'quantities = ["entropi"]\n', "run.quantities.0 = 'entropi': did mean entropy?"),
    ("quantity a number", GOOD + "quantities = [1]\n", "run.quantities.0 = 1: 'slash'"),
    ("quantities empty", GOOD + "quantities = []\n", "run.quantities = []: at least one"),
    ("quantities a string", GOOD + 'quantities = "slash"\n', "run.quantities = 'slash': list"),
    ("lag to store negative", GOOD + "lags = [-1]\n", "run.lags.0 = -1: 0 or more"),
    ("lag to store beyond the tokens", GOOD + "lags = [3, 16]\n", "run.lags = 16: below run.length = 16"),
    ("lag to store a string", GOOD + 'lags = ["3"]\n', "run.lags.0 = '3': whole"),
]

# kind: the line of one field, what is said of it
FIELDS = {
    "gaussian": [("lag = -1", "0 or more"), ("lag = 16", "below run.length = 16"), ("lag = 1.0", "whole"),
                 ("strength = -1.0", "0 or more"), ("strength = inf", "finite"), ("strength = 1e40", "1e+30 or less"),
                 ("sigma_q", "add"), ("sigma_q = -0.5", "0 or more"), ("sigma_q = nan", "finite"),
                 ("sigma_k", "add"), ("sigma_k = -0.5", "0 or more"), ("sigma_k = 'a'", "number"),
                 ("correlation = 1.5", "1 or less"), ("correlation = -1.5", "-1 or more"),
                 ("correlation = nan", "finite"),
                 ("correlaton = 0.1", "unknown did mean correlation?"), ("noise = -0.1", "0 or more")],
    "cone": [("cosine", "add"), ("cosine = 1.5", "1 or less"), ("cosine = -0.5", "0 or more"),
             ("cosine = nan", "finite"),
             ("width = 1", "2 or more"), ("width = 65537", "65536 or less"), ("width = 8.0", "whole"),
             ("sigma = -1.0", "0 or more"), ("sigma = inf", "finite"), ("weights_seed = -1", "0 or more"),
             ("weights_seed = 0.5", "whole"), ("strength = -1.0", "0 or more"), ("lag = 16", "below run.length = 16")],
    "ar1": [("rho_q", "add"), ("rho_q = 1.5", "1 or less"), ("rho_q = nan", "finite"), ("rho_k", "add"),
            ("rho_k = -1.5", "-1 or more"), ("rho_k = '0'", "number"), ("sigma_q", "add"),
            ("sigma_q = -1.0", "0 or more"),
            ("sigma_k = -1.0", "0 or more"), ("sigma_k = inf", "finite"), ("strength = nan", "finite"),
            ("lag = 16", "below run.length = 16")],
    "random-walk": [("step", "add"), ("step = -0.1", "0 or more"), ("step = nan", "finite"),
                    ("step = 1e40", "1e+30 or less"),
                    ("length = 16", "unknown"), ("strength = -1.0", "0 or more"),
                    ("lag = 16", "below run.length = 16")],
    "seasonal": [("period", "add"), ("period = 0", "1 or more"), ("period = 17", "up to run.length = 16"),
                 ("period = 4.0", "whole"), ("sigma_q = -1.0", "0 or more"), ("sigma_q = nan", "finite"),
                 ("sigma_k", "add"), ("sigma_k = -1.0", "0 or more"), ("strength = '1'", "number"),
                 ("lag = 16", "below run.length = 16")],
    "jumping": [("rate", "add"), ("rate = 1.5", "1 or less"), ("rate = -0.5", "0 or more"), ("rate = nan", "finite"),
                ("gain", "add"), ("gain = -1.0", "0 or more"), ("gain = inf", "finite"),
                ("sigma_k = -1.0", "0 or more"),
                ("sigma_k = nan", "finite"), ("sigma_q = 1.0", "unknown did mean sigma_k?"), ("reach = 0", "1 or more"),
                ("reach = 1025", "1024 or less"), ("reach = 2.5", "whole"), ("strength = -1.0", "0 or more"),
                ("lag = 16", "below run.length = 16")],
    "massive": [("pair", "add"), ("pair = -1", "0 or more"), ("pair = 2", "up to 1"), ("pair = 0.5", "whole"),
                ("massive_q", "add"), ("massive_q = inf", "finite"), ("massive_q = 1e40", "1e+30 or less"),
                ("massive_k = nan", "finite"), ("massive_k = -1e40", "-1e+30 or more"), ("sigma_q = -1.0", "0 or more"),
                ("sigma_k = inf", "finite"), ("strength = -1.0", "0 or more"), ("lag = 16", "below run.length = 16")],
}
SPECS += [(f"{kind} with {line}" if " = " in line else f"{kind} without {line}", random_head(kind, line),
           f"head.{line.split(' = ')[0]} = {words}") for kind, rows in FIELDS.items() for line, words in rows]

SWEEPS = [
    ("sweep a number", "sweep = 5\n" + GOOD, "sweep = 5: table dotted"),
    ("sweep empty", SWEEP, "sweep = {}: at least one"),
    ("swept field misspelt", swept('"head.nosie" = [0.1]'), "head.nosie = 0.1: unknown did mean noise?"),
    ("swept field without table", swept("strength = [0.1]"), "strength = 0.1: unknown head"),
    ("swept field of a number", swept('"head.lag.x" = [1]'), "sweep.head.lag.x = 1: lag is no table"),
    ("swept values a number", swept('"head.lag" = 1'), "sweep.head.lag = 1: list"),
    ("swept values empty", swept('"head.lag" = []'), "sweep.head.lag = []: at least one"),
    ("swept values lists", swept('"rope.theta" = [[1.0, 2.0]]'), "sweep.rope.theta = [[1.0, 2.0]]: number or a string"),
    ("swept values tables", swept('"head.sink" = [{ margin = 1.0 }]'), "sweep.head.sink = margin number or a string"),
    ("swept values dates", swept('"head.noise" = [2020-01-01]'), "sweep.head.noise = 2020 number or a string"),
    ("swept values all bad", swept('"head.lag" = [100, 200]'), "head.lag = 100: below run.length = 16"),
    ("swept values too large", swept(f'"run.seed" = [1, {10 ** 30}]'), "sweep.run.seed = 10000000 below 2**63"),
    ("range of unknown name", swept('"head.noise" = { logspace = [0, 1, 3] }'), "sweep.head.noise = logspace linspace"),
    ("range and values", swept('"head.noise" = { values = [1.0], range = [2] }'), "sweep.head.noise = values one of"),
    ("dim without values", swept('"head.noise" = { dim = "a" }'), "sweep.head.noise = 'a' one of values"),
    ("dim a number", swept('"head.noise" = { values = [0.1], dim = 1 }'), "sweep.head.noise = 1 dim"),
    ("dim that we use", swept('"head.noise" = { values = [0.1], dim = "lag" }'),
     "sweep.head.noise = 'lag': another dim"),
    ("dim with a slash", swept('"head.noise" = { values = [0.1], dim = "a/b" }'), "sweep.head.noise = 'a/b': another"),
    ("dim empty", swept('"head.noise" = { values = [0.1], dim = "" }'), "sweep.head.noise = '': dim letter"),
    ("dim of another field", swept('"head.noise" = { values = [0.1], dim = "head.lag" }\n"head.lag" = '
                                   '{ values = [1], dim = "a" }'), "sweep.head.noise = 'head.lag': another dim"),
    ("linspace of strings", swept('"head.noise" = { linspace = ["a", 1, 3] }'), "sweep.head.noise = linspace count"),
    ("linspace of two", swept('"head.noise" = { linspace = [0, 1] }'), "sweep.head.noise = linspace first last count"),
    ("linspace without end", swept('"head.noise" = { linspace = [0, 1, 100000000000000] }'),
     "sweep.head.noise = count"),
    ("linspace to infinity", swept('"head.noise" = { linspace = [0, inf, 3] }'), "sweep.head.noise = inf linspace"),
    ("geomspace through zero", swept('"head.noise" = { geomspace = [0, 1, 3] }'), "sweep.head.noise = geomspace first"),
    ("geomspace across zero", swept('"head.noise" = { geomspace = [-1, 1, 3] }'), "sweep.head.noise = geomspace first"),
    ("range of floats", swept('"head.lag" = { range = [0.0, 1.0] }'), "sweep.head.lag = range first end step"),
    ("range of step zero", swept('"head.lag" = { range = [0, 4, 0] }'), "sweep.head.lag = range first end step"),
    ("range without end", swept('"head.lag" = { range = [0, 100000000000000] }'), "sweep.head.lag = range step"),
    ("grid without end", swept('"head.noise" = { linspace = [0, 1, 100000] }\n"head.lag" = { range = [12] }'),
     "points of sweep = 1200000: at most 1000000"),
    ("zip of unequal lengths", swept('"head.noise" = { values = [0.1, 0.2], dim = "a" }\n"head.lag" = '
                                     '{ values = [1], dim = "a" }'), "sweep dim a = [2, 1]: equal"),
    ("lag to store beyond all lengths", GOOD + 'lags = [64]\n[sweep]\n"run.length" = [16, 32]\n',
     "run.lags = 64: below run.length = 32"),
]

# id, the command line, words
COMMANDS = [
    ("no argument", "run", "SPEC = None: .toml example slash-head"),
    ("example unknown", "run slash-haed --out new", "SPEC = 'slash-haed': .toml slash-head"),
    ("spec missing", "run no.toml --out new", "SPEC = 'no.toml': read No such file"),
    ("spec a directory", "run folder.toml --out new", "SPEC = 'folder.toml': read directory"),
    ("spec not UTF-8", "run latin.toml --out new", "SPEC = 'latin.toml': TOML utf-8"),
    ("option unknown", "run good.toml --owt new", "--owt option --out"),
    ("option without value", "run good.toml --out", "--out requires"),
    ("argument too many", "run good.toml good.toml", "extra argument good.toml"),
    ("no command", "", "COMMAND = None: bands run --help"),
    ("command unknown", "runn good.toml", "command 'runn' run"),
    ("out a file", "run good.toml --out list.json", "--out = 'list.json': folder file"),
    ("out below a file", "run good.toml --out list.json/new", "--out = 'list.json/new': another list.json file"),
    ("out of another spec", "run good.toml --out other", "--out = 'other': another spec --overwrite"),
    ("out of a spec that is broken", "run good.toml --out broken", "--out = 'broken': another spec --overwrite"),
    ("sweep without out", "run sweep.toml", "--out = None: sweep NAME.zarr"),
    ("sweep to a folder", "run sweep.toml --out new", "--out = 'new': sweep NAME.zarr"),
    ("sweep over a file", "run sweep.toml --out file.zarr", "--out = 'file.zarr': another store none of ours"),
    ("sweep over a file, overwriting", "run sweep.toml --overwrite --out file.zarr",
     "--out = 'file.zarr': another store none of ours"),
    ("sweep over a folder", "run sweep.toml --out folder.zarr", "--out = 'folder.zarr': another store none of ours"),
    ("sweep over a folder, overwriting", "run sweep.toml --overwrite --out folder.zarr",
     "--out = 'folder.zarr': another store none of ours"),
    ("sweep below a file", "run sweep.toml --out list.json/a.zarr", "--out = 'list.json/a.zarr': another file"),
    ("preset unknown to bands", "bands llama-3.1-8", "preset = 'llama-3.1-8': did mean 'llama-3.1-8b'?"),
    ("config missing for bands", "bands no.json", "NAME = 'no.json': config.json read"),
    ("config not JSON for bands", "bands bad.json", "NAME = 'bad.json': config.json read"),
    ("config not a mapping for bands", "bands list.json", "config = [1]: mapping config.json"),
    ("config nested too deep for bands", "bands deep.json", "NAME = 'deep.json': config.json read"),
]

TABLE = [*((name, text, ["run", "spec.toml", "--out", "new"], words) for name, text, words in SPECS),
         *((name, text, ["run", "spec.toml", "--out", "new.zarr"], words) for name, text, words in SWEEPS),
         *((name, GOOD, line.split(), words) for name, line, words in COMMANDS)]


class Trap:
    """Unpickling this would write a file."""

    def __reduce__(self):
        return Path.write_text, (Path("executed"), "yes")


@pytest.fixture(scope="session")
def furniture(tmp_path_factory):
    """A folder with the files that the cases name, good and bad."""
    folder = tmp_path_factory.mktemp("furniture")
    for name in ("folder", "folder.toml", "folder.npz", "folder.zarr", "other", "broken"):
        (folder / name).mkdir()
        (folder / name / "mine").write_text("precious")
    (folder / "other" / "spec.toml").write_text(GOOD.replace("2.0", "3.0"))
    (folder / "broken" / "table.csv").write_text("a\n")
    (folder / "good.toml").write_text(GOOD)
    (folder / "sweep.toml").write_text(swept('"head.noise" = [0.0, 0.1]'))
    (folder / "latin.toml").write_bytes(b"# caf\xe9\n" + GOOD.encode())
    (folder / "latin.json").write_bytes(b'{"a": "caf\xe9"}')
    for name, content in {
            "list.json": "[1]", "bad.json": "{", "empty.json": "{}", "deep.json": "[" * 100_000, "file.zarr": "a",
            "base.json": '{"head_dim": 8, "rope_theta": 0.5}',
            "mixed.json": '{"head_dim": 8, "rope_theta": 1e6, "rope_local_base_freq": 1e4}'}.items():
        (folder / name).write_text(content)
    x = np.arange(24.0).reshape(1, 1, 6, 4)
    sound = {"q": x, "k": x, "theta": np.array([1.0, 0.1]), "scale": 0.5, "layout": "half"}
    np.savez(folder / "tiny.npz", **sound)
    np.savez(folder / "bare.npz", **{name: value for name, value in sound.items() if name != "theta"})
    np.savez(folder / "nan.npz", **sound | {"q": x * np.nan})
    np.savez(folder / "large.npz", **sound | {"q": x * 1e200})
    np.savez(folder / "evil.npz", **sound | {"q": np.array([Trap()], dtype=object)})
    whole = (folder / "tiny.npz").read_bytes()
    (folder / "truncated.npz").write_bytes(whole[:len(whole) // 2])
    (folder / "empty.npz").write_bytes(b"")
    return folder


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("text, argv, words", [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_bad_input_exits_2_with_one_line_that_helps_and_writes_nothing(furniture, monkeypatch, capsys, text, argv,
                                                                       words):
    monkeypatch.chdir(furniture)
    Path("spec.toml").write_text(text, encoding="utf-8")
    before = tree(furniture)
    with pytest.raises(SystemExit) as stop:
        main(argv)
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert err.count("\n") == 1 and err.startswith("ropesim: ") and "Traceback" not in err
    assert not [word for word in words.split() if word not in err], err
    assert len(err) < 1000, err
    assert tree(furniture) == before


def test_the_table_is_as_long_as_we_promise_and_names_each_case_once():
    assert len(TABLE) >= 90 and len({row[0] for row in TABLE}) == len(TABLE)


def test_the_good_specs_that_the_cases_are_made_from_are_good(furniture, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(furniture)
    Path("spec.toml").write_text(captured(RECORDED))
    for kind in SOUND:
        Path(f"{kind}.toml").write_text(random_head(kind))
    families = [f"run {kind}.toml" for kind in SOUND]
    for line in ("run good.toml", "run spec.toml", *families, f"run sweep.toml --out {tmp_path / 'a.zarr'}"):
        with pytest.raises(SystemExit) as stop:
            main(line.split())
        assert stop.value.code == 0, capsys.readouterr().err


# Not bad, and must work

NOW = HEAD.replace("lag = 3", "lag = 0")
EDGES = {
    "one token": ROPE + NOW + "[run]\nlength = 1\n",
    "one token and a sink": ROPE + NOW + "sink = { margin = 4.0 }\n[run]\nlength = 1\n",
    "one token with noise": ROPE + NOW + "noise = 0.3\n[run]\nlength = 1\n",
    "one pair": rope('kind = "geometric"\nhead_dim = 2\nbase = 1e4'),
    "nothing rotated": rope('kind = "custom"\ntheta = [0.0, 0.0]'),
    "logits of 1e4": ROPE + BARE + "strength = 5e3\nsink = { margin = 2.0 }\n" + RUN,
    "logits of 1e30": ROPE + BARE + "strength = 1e30\n" + RUN,
    "identical tokens": ROPE + CONSTANT + "amplitude = [0.0, 0.0]\nphase = [0.0, 0.0]\n" + RUN,
    "no noise": ROPE + HEAD + "noise = 0.0\n" + RUN,
    "negative margin": ROPE + HEAD + "sink = { margin = -9.0 }\n" + RUN,
    "a sink that takes all": ROPE + HEAD + "sink = { margin = 1e3 }\n" + RUN,
    "window beyond the tokens": GOOD + "window = 99\n",
    "window of one": GOOD + "window = 1\n",
    "all keys skipped": GOOD + "skip = 16\n",
    "seed of 30 digits": ROPE + HEAD + f"noise = 0.1\n{RUN}samples = 2\nseed = {10 ** 30}\n",
    "whole numbers for real ones": ROPE.replace("1.0", "1") + HEAD.replace("2.0", "2") + RUN + "scale = 1\n",
    "theta negative": rope('kind = "custom"\ntheta = [-1.0, 0.5]'),
    "score at strength zero": '[rope]\nkind = "custom"\ntheta = [1.0]\n' + BARE.replace("lag = 3", "lag = 0") +
                              "score = 0.75\n[run]\nlength = 2\n",
}

DRAWN = ("one token", "nothing rotated", "logits of 1e4", "a sink that takes all", "all keys skipped")  # takes a second


@pytest.mark.parametrize("name", EDGES)
def test_edge_cases_that_are_not_bad_agree_and_draw_their_pictures(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    text = EDGES[name]
    Path("spec.toml").write_text(text)
    with pytest.raises(SystemExit) as stop:
        main(["run", "spec.toml", "--json", *(["--out", "new"] if name in DRAWN else [])])
    out, err = capsys.readouterr()
    assert (stop.value.code, err) == (0, "")
    rows = json.loads(out)["rows"]
    assert all(row["agrees"] for row in rows)
    lags = [row for row in rows if row["quantity"] == "slash"]
    tokens = tomllib.loads(text)["run"]["length"]
    assert len(lags) == (0 if "skip = 16" in text else min(tokens, 5))
    assert name not in DRAWN or len(list(Path("new").iterdir())) == 5


@pytest.mark.parametrize("noise, stderr", [("", 0.0), ("noise = 0.0\n", 0.0), ("noise = 0.3\n", None)])
def test_one_sample_has_a_standard_error_if_nothing_is_drawn_only(tmp_path, monkeypatch, capsys, noise, stderr):
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(ROPE + HEAD + noise + RUN + "samples = 1\n")
    with pytest.raises(SystemExit):
        main("run spec.toml --json".split())
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["stderr"], row["z"]) for row in rows] == [(stderr, None)] * 8


# A full disk

WRITER = """
import contextlib, io, json, resource
from ropesim.cli import main
for name, line, limit in json.load(open("jobs.json")):
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(line.split())
        except SystemExit as stop:
            code = stop.code
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(json.dumps([name, code, error.getvalue()]), flush=True)
"""
FILES = ("spec.toml", "table.csv", "results.zarr", "profile.png", "map.png")


def child(folder, jobs):
    """The jobs (name, command line, largest file) run in a process of their own -> name: (code, stderr)."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", WRITER], cwd=folder, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return {name: (code, err) for name, code, err in map(json.loads, done.stdout.splitlines())}


def largest(path):
    return max(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file())


def complete(path):
    """Whether one of the five files is whole, judged by its own format."""
    if path.name == "spec.toml":
        return tomllib.loads(path.read_text())["run"]["length"] == 16
    if path.name == "table.csv":
        return path.read_text().count("\n") == 9 and path.read_text().endswith("\n")
    if path.name == "results.zarr":
        with xarray.open_zarr(path) as store:
            return bool(np.isfinite(store.slash_simulated.values).all()) and int(store.done) == 1
    return path.read_bytes()[-8:-4] == b"IEND"


def test_a_full_disk_exits_3_with_one_line_keeps_finished_files_and_truncates_none(tmp_path, monkeypatch):
    (tmp_path / "spec.toml").write_text(GOOD)
    (tmp_path / "sweep.toml").write_text(swept('"head.noise" = [0.0, 0.1]'))
    (tmp_path / "other.toml").write_text(swept('"head.noise" = [0.0, 0.2, 0.3]'))
    monkeypatch.chdir(tmp_path)
    for line in ("run spec.toml --quiet --out whole", "run sweep.toml --quiet --out old.zarr"):
        with pytest.raises(SystemExit) as stop:
            main(line.split())
        assert stop.value.code == 0
    store = tree(tmp_path / "old.zarr")
    size = {name: largest(tmp_path / "whole" / name) for name in FILES}
    limit = {name: size[name] * 9 // 10 for name in FILES}            # the child is not compiled: last digits differ
    jobs = [(name, f"run spec.toml --out {name}.full", limit[name]) for name in FILES]
    jobs += [("again", "run spec.toml --out whole", 100), ("store", "run sweep.toml --out new.zarr", 100),
             ("over", "run other.toml --overwrite --out old.zarr", 100)]
    for name, (code, err) in child(tmp_path, jobs).items():
        assert (code, err.count("\n")) == (3, 1) and "File too large" in err, (name, code, err)
        folder = tmp_path / f"{name}.full"
        if folder.exists():
            kept = {path.name for path in folder.iterdir()}
            first = next(file for file in FILES if size[file] > limit[name])
            assert kept == set(FILES[:FILES.index(first)]), name
            assert all(complete(folder / file) for file in kept)
    assert {path.name for path in (tmp_path / "whole").iterdir()} == set(FILES)
    assert all(complete(tmp_path / "whole" / name) for name in FILES)
    assert tree(tmp_path / "old.zarr") == store and not (tmp_path / "new.zarr").exists()
    zarr = (".zattrs", ".zgroup", ".zarray", ".zmetadata")
    assert not [path for path in tmp_path.rglob(".*") if path.name not in zarr]
