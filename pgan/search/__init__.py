"""Nearest images out of very many: by SSIM through sieves, by features exactly."""
