// A plugin that is installed, ready to be started: its manifest verified now, its files handed out only as bytes or descriptors that were checked. There is
// no path in it on purpose: what a path leads to may be something else a moment later.

import { currentPlatform, type Lock, type SelectedPlatform, type TrustPolicy, type Verdict, verify } from '@plugwire/trust'
import { isPluginError, PluginError } from 'plugwire'
import type { VerifiedProgram, VerifyOptions } from 'plugwire/host'
import { signaturesOf } from '../content/releases.ts'
import type { ContentStore, OpenContent } from '../content/store.ts'
import { newestFirst } from '../discovery/discover.ts'
import { MAX_FILE_BYTES, MAX_MANIFEST_BYTES } from '../limits.ts'

export interface StoredPluginOptions {
  readonly store: ContentStore
  readonly lock: Lock
  /** Default: only plugins with a signature that the policy's publishers made, so nobody's. */
  readonly policy?: TrustPolicy
  /** Default: this machine. */
  readonly platform?: string
  readonly understands?: readonly string[]
}

export class StoredPlugin {
  readonly #store: ContentStore
  readonly verdict: Verdict
  readonly platform: SelectedPlatform

  constructor(store: ContentStore, verdict: Verdict, platform: SelectedPlatform) {
    this.#store = store
    this.verdict = verdict
    this.platform = platform
  }

  get name(): string {
    return this.verdict.manifest.name
  }

  get version(): string {
    return this.verdict.manifest.version
  }

  /** Which of the files is started. */
  get entry(): string {
    return this.platform.entry
  }

  /** Paths of all files, inside of the plugin. */
  get files(): readonly string[] {
    return Object.keys(this.platform.files)
  }

  /** Whether the store has all of its files, by their sizes; what is in them shows when they are read. */
  async isComplete(): Promise<boolean> {
    for (const { sha512, size } of Object.values(this.platform.files)) if ((await this.#store.sizeOf(sha512)) !== size) return false
    return true
  }

  /** The verified bytes of one file. @throws PluginError `ERR_STORE_MISSING`, `ERR_STORE_CORRUPT` */
  read(path: string): Promise<Uint8Array> {
    return this.#store.read(this.#digestOf(path), MAX_FILE_BYTES)
  }

  /** A descriptor of one file that was read through once and found to be right. Close it. @throws PluginError `ERR_STORE_MISSING`, `ERR_STORE_CORRUPT` */
  open(path: string): Promise<OpenContent> {
    return this.#store.open(this.#digestOf(path))
  }

  /**
   * What `launch` takes to start exactly the verified bytes, as often as one likes; close it when no more is to be started.
   *
   * Of a program the entry alone is started; its other files can be read. A bundle or a package of JavaScript is started without any file.
   * @throws PluginError `ERR_STORE_MISSING`, `ERR_STORE_CORRUPT`, `ERR_CHECKSUM`, `ERR_VERIFIED_PLACE`
   */
  async program(options: VerifyOptions = {}): Promise<VerifiedProgram> {
    const { verifyProgram, verifyScript } = await import('plugwire/host')
    const { type } = this.verdict.manifest
    const expected = (path: string): { algorithm: string; digest: string } => ({ algorithm: 'sha512', digest: this.#digestOf(path) })
    const name = options.name ?? `${this.name} ${this.version}`
    // Read and hashed once, on its way to where it is started from: what the path leads to later does not count.
    if (type === 'program') {
      await this.#refuseMissing()
      return verifyProgram(this.#store.pathOf(this.#digestOf(this.entry)), expected(this.entry), { ...options, name })
    }
    const files = new Map<string, { bytes: Uint8Array; digest: { algorithm: string; digest: string } }>()
    for (const path of this.files) files.set(path, { bytes: await this.read(path), digest: expected(path) })
    return verifyScript(name, files, this.entry, options)
  }

  async #refuseMissing(): Promise<void> {
    if ((await this.#store.sizeOf(this.#digestOf(this.entry))) === undefined) await this.read(this.entry)
  }

  #digestOf(path: string): string {
    const file = Object.hasOwn(this.platform.files, path) ? this.platform.files[path] : undefined
    if (file === undefined) throw new TypeError(`${this.name} has no file ${JSON.stringify(path)}`)
    return file.sha512
  }
}

/**
 * Opens an installed plugin: what the lock file says about it, verified again under the policy, now.
 *
 * @param what An address that was installed, or the name of a plugin, whose newest locked version is meant.
 * @throws PluginError `ERR_STORE_MISSING` when it is not installed; `ERR_TRUST_…`, `ERR_SIGNATURE_…`, `ERR_MANIFEST_…` when it must not be run
 */
export async function openPlugin(what: string, options: StoredPluginOptions): Promise<StoredPlugin> {
  const { store, lock, policy = {}, platform = currentPlatform() } = options
  const { name, version } = lockedVersionOf(what, lock)
  const locked = lock.plugins.get(name)
  const digest = locked?.versions.get(version)?.manifest ?? ''
  const manifest = await store.read(digest, MAX_MANIFEST_BYTES)
  const verdict = await verify({
    manifest,
    signatures: await storedSignatures(store, digest),
    policy,
    plugin: name,
    version,
    platform,
    locked,
    ...(options.understands !== undefined && { understands: options.understands }),
  })
  return new StoredPlugin(store, verdict, verdict.platform as SelectedPlatform)
}

/** The signatures of a manifest that the store still has. One that is gone or damaged is as good as never made: the policy says what that means. */
export async function storedSignatures(store: ContentStore, manifest: string): Promise<Uint8Array[]> {
  const signatures: Uint8Array[] = []
  for (const digest of await signaturesOf(store, manifest)) {
    try {
      signatures.push(await store.read(digest, MAX_MANIFEST_BYTES))
    } catch (cause) {
      if (!isPluginError(cause, 'ERR_STORE_MISSING') && !isPluginError(cause, 'ERR_STORE_CORRUPT')) throw cause
    }
  }
  return signatures
}

function lockedVersionOf(what: string, lock: Lock): { readonly name: string; readonly version: string } {
  const request = lock.requests.get(what)
  if (request !== undefined) return { name: request.plugin, version: request.version }
  const versions = [...(lock.plugins.get(what)?.versions.keys() ?? [])]
  const [newest] = versions.sort(newestFirst)
  if (newest !== undefined) return { name: what, version: newest }
  throw new PluginError('ERR_STORE_MISSING', {
    subject: what,
    digest: '',
    reason: 'the lock file does not know it',
    remedy: /^[a-z]+:/.test(what)
      ? `Run \`plugwire install ${what}\`.`
      : '`plugwire list` shows what it knows; install this one by its address.',
  })
}
