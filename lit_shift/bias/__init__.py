"""Photographer's bias: are objects placed and sized uniformly?"""
