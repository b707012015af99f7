"""The networks: the encoder and its patches, the decoders, the fusion layer, and SimCroP of them all."""
