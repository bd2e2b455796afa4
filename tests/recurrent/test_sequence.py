# SPDX-License-Identifier: BSD-3-Clause
"""Whole sequences through the native cells, forward and backward, against reference.py."""

from __future__ import annotations

import numpy as np
import pytest

from lstmfast import _core, reference

CELLS = list(reference.CELLS)
# (B, T, I, H): around whole vectors of 4, 8 and 16 lanes, and beyond one panel.
SHAPES = [
    (1, 1, 1, 1),
    (1, 5, 3, 16),
    (3, 7, 5, 15),
    (2, 4, 33, 17),
    (7, 6, 100, 31),
    (13, 5, 17, 33),
    (33, 4, 64, 100),
    (40, 3, 10, 130),
]
MODES = [
    "full",
    "masked",
    "lengths",
    "recurrent_mask",
    "gate_masks",
    "masked_lengths",
    "resets",
    "masked_resets_lengths",
    "zoneout",
    "zoneout_shares",
    "masked_zoneout",
    "zoneout_recurrent_mask",
    "masked_resets_zoneout_gate_masks",
]


def output_size(cell, units):
    """Size of h: with a projection one that does not divide into vectors as the units do."""
    return (2 * units + 2) // 3 if "projection" in cell else units


class Case:
    """Random weights, inputs, states and gradients of one configuration."""

    def __init__(self, rng, cell, shape, mode="full", backwards=False, bias=True):
        b, t, i, h = shape
        g, n_states = reference.CELLS[cell].gates, reference.CELLS[cell].states
        bias_shape = (g * h,) if reference.CELLS[cell].biases == 1 else (2, g * h)

        def normal(*size, scale=0.5):
            return (rng.standard_normal(size) * scale).astype(np.float32)

        p = output_size(cell, h)
        self.cell, self.shape = cell, shape
        self.kernel, self.recurrent_kernel = normal(i, g * h), normal(p, g * h, scale=0.7 / np.sqrt(p))
        self.bias = normal(*bias_shape) if bias else None
        self.extra = [normal(*s) for s in reference.CELLS[cell].extra_shapes(h, p).values()]
        self.x, self.states = normal(b, t, i), tuple(normal(b, n) for n in (p, h)[:n_states])
        self.mask = rng.random((b, t)) > 0.4 if mode.startswith("masked") else None
        self.lengths = rng.integers(0, t + 1, b).astype(np.int32) if mode.endswith("lengths") else None
        self.resets = rng.random((b, t)) > 0.7 if "resets" in mode else None
        self.zoneout = (0.4, 0.3) if "zoneout" in mode else (0.0, 0.0)
        self.zoneout_key = None if mode == "zoneout_shares" else int(rng.integers(2**62))
        self.recurrent_mask = (
            (rng.random((b, p)) > 0.3).astype(np.float32) * 2 if "recurrent_mask" in mode else None
        )
        self.input_mask = None
        if "gate_masks" in mode:
            self.recurrent_mask = (rng.random((b, g, p)) > 0.3).astype(np.float32) * 2
            self.input_mask = (rng.random((b, g, i)) > 0.3).astype(np.float32) * 2
        self.backwards = backwards
        self.dy, self.dstates = normal(b, t, p), tuple(normal(*s.shape) for s in self.states)

    def weights(self, isa="", activation="tanh", recurrent_activation="sigmoid"):
        return _core.RecurrentWeights(
            self.cell,
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            activation,
            recurrent_activation,
            isa,
            self.extra,
        )

    def options(self, sequences=True):
        return {
            "initial_state": self.states,
            "mask": self.mask,
            "lengths": self.lengths,
            "resets": self.resets,
            "recurrent_mask": self.recurrent_mask,
            "input_mask": self.input_mask,
            "return_sequences": sequences,
            "go_backwards": self.backwards,
        }

    def native_options(self, sequences=True):
        return {**self.options(sequences), "zoneout": self.zoneout, "zoneout_key": self.zoneout_key}

    def part(self, begin, end):
        """x and options for these steps of the processing alone."""
        t = self.x.shape[1]
        here = slice(t - end, t - begin) if self.backwards else slice(begin, end)
        options = {**self.native_options(), "first_step": begin}
        for name in ("mask", "resets"):
            if options[name] is not None:
                options[name] = np.ascontiguousarray(options[name][:, here])
        if self.lengths is not None:
            options["lengths"] = np.clip(self.lengths - here.start, 0, end - begin).astype(np.int32)
        return np.ascontiguousarray(self.x[:, here]), options

    def forward(self, weights, save=False, sequences=True):
        return _core.recurrent_forward(weights, self.x, **self.native_options(sequences), save=save)

    def backward(self, weights, tape, accumulate_on=None):
        grads = [np.full_like(a, np.nan) for a in (self.kernel, self.recurrent_kernel)]
        shape = self.kernel.shape[1:] if reference.CELLS[self.cell].biases == 1 else (2, self.kernel.shape[1])
        grads.append(np.full(shape, np.nan, np.float32))
        extra = [np.full_like(a, np.nan) for a in self.extra]
        if accumulate_on is not None:
            grads, extra = ([np.full_like(g, accumulate_on) for g in some] for some in (grads, extra))
        dx, dinitial, _ = _core.recurrent_backward(
            weights, tape, self.dy, self.dstates, *grads, accumulate_on is not None, True, extra
        )
        return dx, *dinitial, *grads, *extra

    def keeps(self):
        """Shares that zoneout keeps, for the reference: (T, B, H) for each state, drawn as the kernels draw them."""
        if not any(self.zoneout):
            return None
        if self.zoneout_key is None:
            return self.zoneout
        b, t, _ = self.x.shape
        return [
            np.array(
                [
                    [
                        reference.random_bits(self.zoneout_key, (k, row, step), state.shape[1])
                        < int(np.float32(self.zoneout[k]) * 2.0**32)
                        for row in range(b)
                    ]
                    for step in range(t)
                ],
                float,
            )
            for k, state in enumerate(self.states)
        ]

    def reference(self, sequences=True, **activations):
        return reference.recurrent_forward(
            self.cell,
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            self.x,
            **self.options(sequences),
            **activations,
            zoneout=self.keeps(),
            extra=self.extra,
        )

    def reference_gradients(self, tape):
        dx, dinitial, *grads = reference.recurrent_backward(tape, self.dy, self.dstates)
        return dx, *dinitial, *grads


def close(got, want, tolerance=1e-5, floor=1e-3):
    want = np.asarray(want)
    assert got.shape == want.shape
    assert np.max(np.abs(got - want), initial=0) <= tolerance * max(floor, np.max(np.abs(want), initial=0))


# Where two variants or two kinds of mask meet, some of the shapes.
COMBINED = [
    cell for cell in CELLS if cell.count("_") > 1 and "projection" in cell and cell.startswith("lstm")
]


def with_modes(cells, modes=MODES):
    """(cell, mode) where the cell has it."""
    return [(cell, mode) for cell in cells for mode in modes]


CASES = [
    (cell, mode, shape)
    for cell, mode in with_modes(CELLS)
    for shape in (
        SHAPES[1::3]
        if cell in COMBINED or mode.endswith(("zoneout_recurrent_mask", "zoneout_gate_masks"))
        else SHAPES
    )
]


@pytest.mark.parametrize(("cell", "mode", "shape"), CASES, ids=str)
def test_against_the_reference(cell, shape, mode, isa, rng, poisoned):
    # A normalized sum does not change with the size of its only term: what epsilon leaves of that gradient is the small
    # difference of terms around 0.1.
    floor = 0.1 if "layer_norm" in cell and 1 in (shape[2], output_size(cell, shape[3])) else 1e-3
    for backwards in (False, True):
        case = Case(rng, cell, shape, mode, backwards)
        weights = case.weights(isa)
        want_y, want_states, want_tape = case.reference()
        want_grads = case.reference_gradients(want_tape)
        for threads in (1, 2, 3, 5, 8):
            _core.set_num_threads(threads)
            y, states, tape = case.forward(weights, save=True)
            close(y, want_y)
            for got, want in zip(states, want_states, strict=True):
                close(got, want)
            for got, want in zip(case.backward(weights, tape), want_grads, strict=True):
                close(got, want, floor=floor)


@pytest.mark.parametrize(("cell", "mode"), with_modes(CELLS))
def test_bits_do_not_depend_on_threads(cell, mode, isa, rng):
    # Large enough that a team is worth waking; B = 2 splits units, B = 40 splits rows.
    for shape in [(2, 60, 70, 200), (40, 30, 20, 96)]:
        case = Case(rng, cell, shape, mode)
        weights, results = case.weights(isa), []
        for threads in (1, 2, 3, 5, 8):
            _core.set_num_threads(threads)
            y, states, tape = case.forward(weights, save=True)
            results.append([y, *states, *case.backward(weights, tape)])
        for other in results[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("cell", CELLS)
def test_a_row_alone_and_in_a_batch(cell, isa, team, rng):
    case = Case(rng, cell, (37, 50, 40, 72))
    weights = case.weights(isa)
    whole = _core.recurrent_forward(weights, case.x, return_sequences=True)[0]
    for row in (0, 17, 36):
        alone = _core.recurrent_forward(weights, case.x[row : row + 1], return_sequences=True)[0]
        assert np.array_equal(alone[0], whole[row])


@pytest.mark.parametrize("cell", CELLS)
def test_two_halves_give_the_whole(cell, isa, team, rng):
    case = Case(rng, cell, (5, 61, 24, 90))
    weights = case.weights(isa)
    whole, final, _ = case.forward(weights)
    for cut in (1, 7, 30, 60):
        x = [np.ascontiguousarray(p) for p in (case.x[:, :cut], case.x[:, cut:])]
        first, states, _ = _core.recurrent_forward(weights, x[0], case.states, return_sequences=True)
        second, states, _ = _core.recurrent_forward(weights, x[1], states, return_sequences=True)
        assert np.array_equal(np.concatenate([first, second], 1), whole)
        assert all(np.array_equal(a, b) for a, b in zip(states, final, strict=True))


@pytest.mark.parametrize(
    ("cell", "mode"),
    with_modes(
        CELLS,
        [
            "resets",
            "masked_resets_lengths",
            "recurrent_mask",
            "gate_masks",
            "zoneout",
            "zoneout_recurrent_mask",
            "masked_resets_zoneout_gate_masks",
        ],
    ),
)
def test_carried_states_go_on_and_resets_lead_back(cell, mode, isa, rng, poisoned):
    """A second part that carries the first one's states: the same bits as the whole, and its gradients."""
    cut = 9
    for backwards in (False, True):
        case = Case(rng, cell, (5, 21, 6, 19), mode, backwards)
        weights = case.weights(isa)
        whole, final, tape = case.forward(weights, save=True)
        (x1, options1), (x2, options2) = case.part(0, cut), case.part(cut, 21)
        y1, states, tape1 = _core.recurrent_forward(weights, x1, save=True, **options1)
        y2, states2, tape2 = _core.recurrent_forward(weights, x2, save=True, **options2, carried_state=states)
        not_kept = _core.recurrent_forward(weights, x2, **options2, carried_state=states)
        assert np.array_equal(np.concatenate([y1, y2], axis=1), whole)
        assert np.array_equal(not_kept[0], y2)
        for a, b, c in zip(states2, final, not_kept[1], strict=True):
            assert np.array_equal(a, b) and np.array_equal(a, c)
        options2["return_sequences"] = False
        last = _core.recurrent_forward(weights, x2, **options2, carried_state=states)
        assert np.array_equal(last[0], final[0])

        want = case.backward(weights, tape)
        n_weights = 3 + len(case.extra)
        grads = [np.zeros_like(g) for g in want[-n_weights:]]
        dy = [np.ascontiguousarray(d) for d in np.split(case.dy, [cut], axis=1)]
        dx2, dinitial2, dcarried = _core.recurrent_backward(
            weights, tape2, dy[1], case.dstates, *grads[:3], True, True, grads[3:]
        )
        dx1, dinitial1, none = _core.recurrent_backward(
            weights, tape1, dy[0], dcarried, *grads[:3], True, True, grads[3:]
        )
        assert none is None
        parts = [dx2, dx1] if backwards else [dx1, dx2]
        close(np.concatenate(parts, axis=1), want[0])
        for a, b, w in zip(dinitial1, dinitial2, want[1:-n_weights], strict=True):
            close(a + b, w)
        for a, b in zip(grads, want[-n_weights:], strict=True):
            close(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_padding_changes_nothing_and_is_never_read(cell, isa, team, rng):
    case = Case(rng, cell, (9, 40, 30, 50), "lengths")
    weights = case.weights(isa)
    y, states, _ = case.forward(weights)
    for row, n in enumerate(case.lengths):
        case.x[row, n:] = np.nan
    again, states_again, _ = case.forward(weights)
    assert np.array_equal(y, again)
    for row, n in enumerate(case.lengths):
        assert not y[row, n:].any()
        assert np.array_equal(y[row, n - 1] if n else case.states[0][row], states[0][row])
        if n:
            one = np.ascontiguousarray(case.x[row : row + 1, :n])
            alone = _core.recurrent_forward(
                weights, one, tuple(s[row : row + 1] for s in case.states), return_sequences=True
            )[0]
            assert np.array_equal(alone[0], y[row, :n])
    assert all(np.array_equal(a, b) for a, b in zip(states, states_again, strict=True))


@pytest.mark.parametrize(("cell", "mode"), with_modes(CELLS))
def test_saving_for_the_backward_pass_changes_no_bit(cell, mode, isa, rng):
    case = Case(rng, cell, (6, 33, 20, 40), mode)
    weights = case.weights(isa)
    kept, not_kept = case.forward(weights, save=True), case.forward(weights)
    assert np.array_equal(kept[0], not_kept[0])
    assert all(np.array_equal(a, b) for a, b in zip(kept[1], not_kept[1], strict=True))
    last = case.forward(weights, sequences=False)
    assert np.array_equal(last[0], last[1][0]) and np.array_equal(last[0], kept[1][0])


@pytest.mark.parametrize("cell", CELLS)
def test_avx2_and_avx512_agree_to_the_bit(cell, rng):
    if not {"avx2", "avx512"} <= set(_core.available_isas()):
        pytest.skip("needs a machine with AVX2 and AVX-512")
    case = Case(rng, cell, (5, 30, 21, 45), "masked")
    (y, states, _), (other_y, other_states, _) = (
        case.forward(case.weights(name)) for name in ("avx2", "avx512")
    )
    assert np.array_equal(y, other_y)
    assert all(np.array_equal(a, b) for a, b in zip(states, other_states, strict=True))


@pytest.mark.parametrize(
    ("activations", "mode"),
    [
        (("relu", "hard_sigmoid"), "full"),
        (("linear", "sigmoid"), "full"),
        (("tanh", "tanh"), "full"),
        (("softsign", "relu6"), "full"),
        (("elu", "sigmoid"), "full"),
        # Slopes that need the input.
        (("silu", "gelu_tanh"), "full"),
        (("gelu", "sigmoid"), "masked_resets_zoneout_gate_masks"),
        (("tanh", "silu"), "masked_resets_zoneout_gate_masks"),
    ],
)
@pytest.mark.parametrize("cell", CELLS)
def test_other_activations(cell, activations, mode, isa, rng, poisoned):
    case = Case(rng, cell, (4, 6, 7, 19), mode)
    weights = case.weights(isa, *activations)
    y, states, tape = case.forward(weights, save=True)
    want_y, want_states, want_tape = case.reference(
        activation=activations[0], recurrent_activation=activations[1]
    )
    close(y, want_y)
    for got, want in zip(case.backward(weights, tape), case.reference_gradients(want_tape), strict=True):
        close(got, want)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_add_up_on_request(cell, isa, rng):
    case = Case(rng, cell, (3, 5, 6, 20))
    weights = case.weights(isa)
    fresh = case.backward(weights, case.forward(weights, save=True)[2])
    added = case.backward(weights, case.forward(weights, save=True)[2], accumulate_on=1.0)
    n_weights = 3 + len(case.extra)
    for a, b in zip(fresh[-n_weights:], added[-n_weights:], strict=True):
        close(b, a.astype(float) + 1.0, 1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_every_step_masked(cell, isa, rng, poisoned):
    case = Case(rng, cell, (3, 4, 5, 9), "masked")
    case.mask[:] = False
    weights = case.weights(isa)
    y, states, tape = case.forward(weights, save=True)
    assert all(np.array_equal(y[:, t], case.states[0]) for t in range(4))
    assert all(np.array_equal(a, b) for a, b in zip(states, case.states, strict=True))
    dx, *rest = case.backward(weights, tape)
    assert not dx.any() and not any(g.any() for g in rest[len(case.states) :])
    close(rest[0], case.dstates[0] + case.dy.sum(1), 1e-6)


def test_a_tape_serves_once(rng):
    case = Case(rng, "lstm", (2, 3, 4, 5))
    weights = case.weights()
    tape = case.forward(weights, save=True)[2]
    case.backward(weights, tape)
    with pytest.raises(ValueError, match="tape: has been used already"):
        case.backward(weights, tape)


def test_reads_stay_inside_the_arrays(isa, rng, guarded):
    for shape in [(3, 4, 5, 7), (2, 3, 17, 33), (7, 2, 16, 16)]:
        case = Case(rng, "lstm", shape)
        for name in ("kernel", "recurrent_kernel", "bias", "x", "dy"):
            setattr(case, name, guarded(getattr(case, name)))
        case.states = tuple(guarded(s) for s in case.states)
        weights = case.weights(isa)
        y, _, tape = case.forward(weights, save=True)
        out = guarded(np.full_like(y, np.nan))
        assert _core.recurrent_forward(weights, case.x, **case.native_options(), out=out)[0] is out
        assert np.array_equal(out, y)
        grads = [guarded(np.full_like(a, np.nan)) for a in (case.kernel, case.recurrent_kernel, case.bias)]
        _core.recurrent_backward(weights, tape, case.dy, None, *grads, False, True)
        assert all(np.isfinite(g).all() for g in grads)


def test_long_sequences_stay_accurate(isa, rng):
    """1000 steps: the error of h against float64 does not grow with time."""
    for units in (32, 128):
        case = Case(rng, "lstm", (2, 1000, 8, units))
        y = case.forward(case.weights(isa))[0]
        assert np.max(np.abs(y - case.reference()[0])) < 5e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((2, 3), np.float32)}, r"x: expected shape \(\*, \*, 4\), got \(2, 3\)"),
        ({"x": np.zeros((2, 3, 5), np.float32)}, r"x: expected shape \(\*, \*, 4\), got \(2, 3, 5\)"),
        ({"x": np.zeros((2, 0, 4), np.float32)}, "x: expected at least one time step"),
        ({"mask": np.ones((2, 4), bool)}, r"mask: expected shape \(2, 3\), got \(2, 4\)"),
        ({"lengths": np.array([1, 4], np.int32)}, "lengths: expected 0 to 3, got 4 for row 1"),
        ({"lengths": np.array([-1, 2], np.int32)}, "lengths: expected 0 to 3, got -1 for row 0"),
        ({"initial_state": (np.zeros((2, 5), np.float32),)}, "initial_state: expected 2 arrays, got 1"),
        (
            {"initial_state": (np.zeros((2, 4), np.float32),) * 2},
            r"initial_state: expected shape \(2, 5\), got \(2, 4\)",
        ),
        ({"out": np.zeros((2, 4), np.float32)}, r"out: expected shape \(2, 5\), got \(2, 4\)"),
    ],
)
def test_bad_arguments_are_named(change, message, rng):
    case = Case(rng, "lstm", (2, 3, 4, 5))
    with pytest.raises(ValueError, match=message):
        _core.recurrent_forward(case.weights(), change.pop("x", case.x), **change)


def test_nothing_is_converted_silently(rng):
    case = Case(rng, "lstm", (2, 3, 4, 5))
    for wrong in (case.x.astype(float), case.x[:, ::-1], case.x.tolist()):
        with pytest.raises(TypeError):
            _core.recurrent_forward(case.weights(), wrong)
