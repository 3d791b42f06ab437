"""condgen: conditional generative models of audio and images."""

__version__ = "0.1.0"
