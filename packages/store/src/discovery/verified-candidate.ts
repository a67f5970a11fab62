// From a plugin that was discovered to a program that is exactly what its publisher signed: its manifest under a policy, its files by their digests. Launches
// nothing.

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  currentPlatform,
  type Lock,
  type SelectedPlatform,
  type SignatureVerifier,
  type TrustPolicy,
  type Verdict,
  verify,
} from '@plugwire/trust'
import { PluginError } from 'plugwire'
import { type VerifiedProgram, verifyProgram, verifyScript } from 'plugwire/host'
import { MAX_FILE_BYTES, MAX_MANIFEST_BYTES } from '../limits.ts'
import { MANIFEST_SUFFIX, SIGNATURE_SUFFIXES } from './candidate-name.ts'
import type { Candidate } from './discover.ts'

export interface CandidateTrust {
  readonly policy: TrustPolicy
  /** What was accepted before: no other signer, no older version. Default: nothing is known. */
  readonly lock?: Lock
  readonly understands?: readonly string[]
  readonly verifiers?: readonly SignatureVerifier[]
}

export interface VerifiedCandidate {
  /** To be closed when no more is to be started from it. */
  readonly program: VerifiedProgram
  readonly verdict: Verdict
}

/** @throws PluginError `ERR_SIGNATURE_…`, `ERR_TRUST_…`, `ERR_MANIFEST_…`, `ERR_CHECKSUM`, `ERR_PLUGIN_NOT_FOUND`, `ERR_VERIFIED_PLACE` */
export async function verifyCandidate(candidate: Candidate, trust: CandidateTrust): Promise<VerifiedCandidate> {
  const { name, version, manifestPath } = candidate
  if (manifestPath === undefined) {
    throw new PluginError('ERR_SIGNATURE_MISSING', {
      plugin: name,
      reason: 'it has no manifest, so nobody has signed it',
      remedy: `Put its manifest and the signature beside it, as ${candidate.path}${MANIFEST_SUFFIX}.`,
    })
  }
  const { policy, lock, understands, verifiers } = trust
  const signatures: Uint8Array[] = []
  for (const suffix of SIGNATURE_SUFFIXES) {
    const signature = await readFile(manifestPath + suffix, MAX_MANIFEST_BYTES).catch(ignoreMissing)
    if (signature !== undefined) signatures.push(signature)
  }
  const verdict = await verify({
    manifest: await readFile(manifestPath, MAX_MANIFEST_BYTES),
    signatures,
    policy,
    plugin: name,
    platform: currentPlatform(),
    locked: lock?.plugins.get(name),
    ...(version !== undefined && { version }),
    ...(understands !== undefined && { understands }),
    ...(verifiers !== undefined && { verifiers }),
  })
  return { verdict, program: await programOf(candidate, manifestPath, verdict) }
}

async function programOf(candidate: Candidate, manifestPath: string, { manifest, platform }: Verdict): Promise<VerifiedProgram> {
  const { entry, files } = platform as SelectedPlatform
  const name = `${manifest.name} ${manifest.version}`
  const digestOf = (path: string): { algorithm: string; digest: string } => ({ algorithm: 'sha512', digest: files[path]?.sha512 ?? '' })
  // What is one file may have another name here than in its manifest.
  const isOneFile = manifestPath === candidate.path + MANIFEST_SUFFIX
  const placeOf = (path: string): string => (isOneFile && path === entry ? candidate.path : join(dirname(manifestPath), path))
  if (manifest.type === 'program') return verifyProgram(placeOf(entry), digestOf(entry), { name })
  const scripts = new Map<string, { bytes: Uint8Array; digest: { algorithm: string; digest: string } }>()
  for (const [path, { size }] of Object.entries(files))
    scripts.set(path, { bytes: await readFile(placeOf(path), Math.min(size, MAX_FILE_BYTES)), digest: digestOf(path) })
  return verifyScript(name, scripts, entry)
}

/** A file, and nothing that would keep us waiting or never end. */
async function readFile(path: string, maxBytes: number): Promise<Uint8Array> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: Error) => {
    throw new PluginError('ERR_PLUGIN_NOT_FOUND', { path, remedy: `Reading it failed: ${cause.message}.` }, { cause })
  })
  try {
    const stats = await handle.stat()
    if (stats.isFile() && stats.size <= maxBytes) return await handle.readFile()
    const remedy = stats.isFile() ? `It has ${stats.size} bytes, at most ${maxBytes} were expected.` : 'It is no regular file.'
    throw new PluginError('ERR_PLUGIN_NOT_FOUND', { path, remedy })
  } finally {
    await handle.close()
  }
}

function ignoreMissing(cause: PluginError): undefined {
  if ((cause.cause as NodeJS.ErrnoException | undefined)?.code !== 'ENOENT') throw cause
}
