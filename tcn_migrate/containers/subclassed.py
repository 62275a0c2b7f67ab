"""What is advised for a subclass of keras.Model, of which a file holds the variables but not the computation."""

HINT = (
    "Its code is needed: where the old library runs, model.save_weights('weights.h5'); with the class in Keras 3, "
    "functional = keras.Model(x, model.call(x)) for an x = keras.Input(...), and then "
    "tcn_migrate.load_weights(functional, 'weights.h5'), which loads into the layers of your model"
)
