"""The names of the key algorithms: what options and specs say, without what makes keys."""

from __future__ import annotations

import enum


class KeyAlgorithm(enum.StrEnum):
    """kubeadm's names (`v1beta4.EncryptionAlgorithmType`)."""

    RSA_2048 = "RSA-2048"
    RSA_3072 = "RSA-3072"
    RSA_4096 = "RSA-4096"
    ECDSA_P256 = "ECDSA-P256"
    ECDSA_P384 = "ECDSA-P384"
