"""Engines: ways to draw from a network, step after step. All give the same samples; `choice` picks one."""
