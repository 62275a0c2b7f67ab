"""From any form in which Keras stored a config to the one normal form. Nothing here changes what is computed."""
