// A publisher with a key, and manifests signed by it.

import { digestFile, encodeManifest, generateKey, type Manifest, type SecretKey, type TrustPolicy } from '../src/index.ts'
import { bytesOf } from './tools.ts'

export const program: Uint8Array = bytesOf('#!/bin/sh\necho plugin\n')

export function manifestOf(fields: Partial<Manifest> = {}): Manifest {
  return {
    name: '@acme/aws',
    version: '2.1.0',
    type: 'program',
    contract: { name: 'cloud', versions: [1], protocols: ['plugwire'] },
    publisher: { name: 'acme' },
    platforms: { 'linux-x64': { entry: 'aws', files: { aws: digestFile(program) } } },
    ...fields,
  }
}

export interface Release {
  readonly manifest: Uint8Array
  readonly signatures: readonly Uint8Array[]
}

/** A release signed with some keys. */
export function release(fields: Partial<Manifest>, ...keys: readonly SecretKey[]): Release {
  const manifest = encodeManifest(manifestOf(fields))
  return { manifest, signatures: keys.map(key => key.sign(manifest)) }
}

export const acme: SecretKey = generateKey('minisign')
export const acmeSsh: SecretKey = generateKey('ssh')
export const mallory: SecretKey = generateKey('minisign')

export const policy: TrustPolicy = {
  publishers: [{ name: 'acme', keys: [acme.publicKey.text, acmeSsh.publicKey.text], plugins: ['@acme/*'] }],
}
