"""Classifiers: is the local model good enough for this prompt?"""
