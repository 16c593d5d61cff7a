/**
 * The names of Web Crypto as the declarations of @peculiar/x509 use them: global, as in a browser. Node has
 * the same types under `webcrypto`; they are named here so that the whole browser need not be declared.
 */
import type { webcrypto } from 'node:crypto';

declare global {
  type BufferSource = webcrypto.BufferSource;
  type Algorithm = webcrypto.Algorithm;
  type AlgorithmIdentifier = webcrypto.AlgorithmIdentifier;
  type KeyUsage = webcrypto.KeyUsage;
  type EcKeyGenParams = webcrypto.EcKeyGenParams;
  type EcKeyImportParams = webcrypto.EcKeyImportParams;
  type EcdsaParams = webcrypto.EcdsaParams;
  type RsaHashedImportParams = webcrypto.RsaHashedImportParams;
  type CryptoKey = webcrypto.CryptoKey;
  type CryptoKeyPair = webcrypto.CryptoKeyPair;
  type Crypto = webcrypto.Crypto;
}
