"""What an old model computes, as the library that wrote it did: in NumPy and float64, from stored config and arrays.

The config is taken in normal form *before* any repair, and the arrays as they are stored. Nothing here is shared with
what a migration does (repairs, masks, operators, folding, lowering), so that the new model can be compared with it.
Layers are computed in inference mode, masks included, by the rules of the Keras that wrote the file. A layer that is
not in the table gives `Unproven` outputs, and so does everything that is computed from them; nothing is guessed.

- `tensors`: a tensor, and arithmetic that can imitate the rounding of float32;
- `table`: one function for each layer class, and what such a function gets;
- `model`: models, their calls and their masks;
- `inputs`: drawn inputs that suit a model;
- `evaluate`: one evaluation of a whole model;
- the other modules: the functions, by family.
"""
