# SPDX-License-Identifier: BSD-3-Clause
"""Translation by characters: dates as people write them into ISO dates (Keras's `lstm_seq2seq`).

The encoder's last states are where the decoder starts. In training the decoder is given the right characters; then
the two halves become models of their own, and the decoder is given what it wrote itself.
"""

import datetime
import tempfile
from pathlib import Path

import numpy as np

import lstmfast as keras

LATENT, EPOCHS, BATCH = 80, 25, 64

keras.utils.set_random_seed(1)
rng = np.random.default_rng(1)

first = datetime.date(1950, 1, 1)
days = [first + datetime.timedelta(int(n)) for n in rng.choice(36500, 4000, replace=False)]
styles = ["%d %b %Y", "%b %d, %Y"]
input_texts = [day.strftime(styles[i % 2]).lower() for i, day in enumerate(days)]
target_texts = ["\t" + day.isoformat() + "\n" for day in days]  # tab begins, newline ends

input_characters = sorted(set("".join(input_texts)))
target_characters = sorted(set("".join(target_texts)))
input_index = {c: i for i, c in enumerate(input_characters)}
target_index = {c: i for i, c in enumerate(target_characters)}
longest = max(map(len, input_texts))
steps = len(target_texts[0]) - 1  # the decoder is never given the end

encoder_data = np.zeros((len(days), longest, len(input_characters)), "float32")
decoder_data = np.zeros((len(days), steps, len(target_characters)), "float32")
decoder_targets = np.zeros_like(decoder_data)
for i, (source, target) in enumerate(zip(input_texts, target_texts, strict=True)):
    for t, c in enumerate(source.ljust(longest)):
        encoder_data[i, t, input_index[c]] = 1.0
    for t in range(steps):
        decoder_data[i, t, target_index[target[t]]] = 1.0
        decoder_targets[i, t, target_index[target[t + 1]]] = 1.0  # one step ahead

encoder_inputs = keras.Input(shape=(None, len(input_characters)))
encoder = keras.layers.LSTM(LATENT, return_state=True)
encoder_outputs, state_h, state_c = encoder(encoder_inputs)
decoder_inputs = keras.Input(shape=(None, len(target_characters)))
decoder_lstm = keras.layers.LSTM(LATENT, return_sequences=True, return_state=True)
decoder_outputs, _, _ = decoder_lstm(decoder_inputs, initial_state=[state_h, state_c])
decoder_outputs = keras.layers.Dense(len(target_characters), activation="softmax")(decoder_outputs)
model = keras.Model([encoder_inputs, decoder_inputs], decoder_outputs)

model.compile(
    optimizer=keras.optimizers.RMSprop(0.005), loss="categorical_crossentropy", metrics=["accuracy"]
)
history = model.fit(
    [encoder_data[:3800], decoder_data[:3800]],
    decoder_targets[:3800],
    batch_size=BATCH,
    epochs=EPOCHS,
    validation_split=0.05,
    verbose=0,
)
print(f"accuracy of characters: {history.history['val_accuracy'][-1]:.4f}")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "s2s_model.keras"
    model.save(path)
    model = keras.models.load_model(path)

# The two halves, taken out of the loaded model.
encoder_inputs = model.input[0]
encoder_outputs, state_h, state_c = model.layers[2].output
encoder_model = keras.Model(encoder_inputs, [state_h, state_c])

decoder_inputs = model.input[1]
state_inputs = [keras.Input(shape=(LATENT,)), keras.Input(shape=(LATENT,))]
decoder_outputs, state_h, state_c = model.layers[3](decoder_inputs, initial_state=state_inputs)
decoder_outputs = model.layers[4](decoder_outputs)
decoder_model = keras.Model([decoder_inputs, *state_inputs], [decoder_outputs, state_h, state_c])


def translate(sequence):
    states = encoder_model.predict(sequence, verbose=0)
    token = np.zeros((1, 1, len(target_characters)), "float32")
    token[0, 0, target_index["\t"]] = 1.0
    text = ""
    while not text.endswith("\n") and len(text) < steps:
        output, *states = decoder_model.predict([token, *states], verbose=0)
        best = int(np.argmax(output[0, -1]))
        text += target_characters[best]
        token[:] = 0.0
        token[0, 0, best] = 1.0
    return text.strip()


right = 0
for i in range(3800, 3850):
    translated = translate(encoder_data[i : i + 1])
    right += translated == target_texts[i].strip()
    if i < 3805:
        print(f"{input_texts[i]:>12} -> {translated}")
print(f"{right} of 50 new dates are right")
assert right >= 45, right
