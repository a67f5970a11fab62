// Installs plugins: by the lock where it knows them, by their sources where it does not; verified before anything large is fetched, stored under digests,
// and only then locked. Killed at any instant it leaves the old lock file or the new one, and a store that has what either of them names.

import { unlink } from 'node:fs/promises'
import { resolve } from 'node:path'
import {
  currentPlatform,
  LOCK_FILE_NAME,
  type Lock,
  type LockedPlugin,
  lockPlugin,
  readLockFile,
  readManifest,
  type SelectedPlatform,
  type SignatureVerifier,
  selectPlatform,
  type TrustPolicy,
  unlockPlugin,
  updateLockFile,
  type Verdict,
  verify,
} from '@plugwire/trust'
import { isPluginError, PluginError } from 'plugwire'
import { addRoot } from '../content/garbage.ts'
import { rememberSignatures } from '../content/releases.ts'
import { ContentStore } from '../content/store.ts'
import { type ArchiveLimits, MAX_MANIFEST_BYTES } from '../limits.ts'
import { formatAddress, type PluginAddress, parseAddress } from '../sources/address.ts'
import { Sources as OpenSources, type Sources, type SourcesOptions } from '../sources/open-source.ts'
import type { Finding, Release } from '../sources/source.ts'
import { type Bringing, BroughtPackages, bringFiles, bringImport, bringManifest, digestsOf, missingFiles } from './content.ts'
import type { InstallEvent } from './events.ts'
import { storedSignatures } from './stored-plugin.ts'

export interface InstallOptions {
  /** Default: `plugwire.lock` in the current directory. */
  readonly lockFile?: string
  /** Default: the user's store. */
  readonly store?: ContentStore | string
  readonly sources?: SourcesOptions
  /** Whom to trust. Default: nobody, and signatures are required; so give one. */
  readonly policy?: TrustPolicy
  /**
   * Asked when `policy.firstUse` is `accept` and a plugin is accepted by the key that it brought itself, before its files are fetched: show the fingerprint,
   * record the key (`trustFirstUse`), and return whether to go on. Default: goes on.
   */
  readonly onFirstUse?: (verdict: Verdict) => boolean | Promise<boolean>
  /** Default: this machine. */
  readonly platforms?: readonly string[]
  /** Fetches nothing: what is not in the store is an error. Default false. */
  readonly offline?: boolean
  /** Changes nothing, and fetches no more than it takes to say what would be done. Default false. */
  readonly dryRun?: boolean
  readonly limits?: Partial<ArchiveLimits>
  readonly understands?: readonly string[]
  readonly verifiers?: readonly SignatureVerifier[]
  readonly signal?: AbortSignal
  readonly onEvent?: (event: InstallEvent) => void
  /** Told of each plugin that cannot be installed; the others are installed then. Default: the first failure ends it, as an abort always does. */
  readonly onFailure?: (request: string, cause: unknown) => void
}

export interface Installed {
  /** What was asked for. */
  readonly request: string
  readonly name: string
  readonly version: string
  /** Where it came from, exactly. */
  readonly address: string
  /** `present`: everything was there already. `would-install`: with `dryRun`. */
  readonly action: 'installed' | 'present' | 'would-install'
  /** Version that the request led to before; undefined when it is new. */
  readonly before: string | undefined
  /** Undefined only with `dryRun`, when the manifest lies inside of a package that is not here yet. */
  readonly verdict: Verdict | undefined
  readonly platforms: readonly string[]
  readonly findings: readonly Finding[]
}

/**
 * Installs plugins and records them in the lock file.
 *
 * @param requests Addresses such as `npm:@acme/aws@^2`. Without any, everything that the lock file asks for. One that the lock file knows leads to the
 * version recorded there; `update` looks for newer ones.
 * @throws PluginError `ERR_SOURCE_…`, `ERR_ARCHIVE_…`, `ERR_STORE_…`, `ERR_TRUST_…`, `ERR_SIGNATURE_…`, `ERR_MANIFEST_…`, `ERR_LOCK_…`
 */
export async function install(requests: readonly string[] = [], options: InstallOptions = {}): Promise<Installed[]> {
  return withInstaller(options, installer =>
    installer.installAll(requests.length > 0 ? requests : [...installer.lock.requests.keys()], true),
  )
}

/**
 * Takes the newest versions that the addresses in the lock file allow.
 * @param what Addresses, or names of plugins. Default: all.
 */
export async function update(what: readonly string[] = [], options: InstallOptions = {}): Promise<Installed[]> {
  return withInstaller(options, installer => installer.installAll(requestsOf(installer.lock, what), false))
}

/** @throws PluginError `ERR_SOURCE_NOT_FOUND` when the lock file knows nothing of that name. */
export function requestsOf(lock: Lock, what: readonly string[]): string[] {
  if (what.length === 0) return [...lock.requests.keys()]
  return what.flatMap(name => {
    const found = [...lock.requests].filter(([request, { plugin }]) => request === name || plugin === name).map(([request]) => request)
    if (found.length > 0) return found
    throw new PluginError('ERR_SOURCE_NOT_FOUND', {
      subject: name,
      reason: 'the lock file knows no such plugin',
      remedy: '`plugwire list` shows those it knows.',
      versions: [],
    })
  })
}

async function withInstaller<T>(options: InstallOptions, work: (installer: Installer) => Promise<T>): Promise<T> {
  const store = options.store instanceof ContentStore ? options.store : await ContentStore.open(options.store)
  const lockFile = resolve(options.lockFile ?? LOCK_FILE_NAME)
  const http = { ...options.sources?.http, ...(options.offline && { offline: true }) }
  const sources = new OpenSources({ ...options.sources, http })
  // From here on nothing is cleaned away until everything that was put has its root.
  const turn = options.dryRun ? undefined : await store.beginWriting(options.signal)
  try {
    return await work(new Installer(options, store, sources, lockFile, await readLockFile(lockFile)))
  } finally {
    sources[Symbol.dispose]()
    await turn?.end()
  }
}

class Installer {
  readonly #options: InstallOptions
  readonly #store: ContentStore
  readonly #sources: Sources
  readonly #lockFile: string
  lock: Lock

  constructor(options: InstallOptions, store: ContentStore, sources: Sources, lockFile: string, lock: Lock) {
    this.#options = options
    this.#store = store
    this.#sources = sources
    this.#lockFile = lockFile
    this.lock = lock
  }

  async installAll(requests: readonly string[], byLock: boolean): Promise<Installed[]> {
    const { onFailure, signal } = this.#options
    const done: Installed[] = []
    for (const request of requests) {
      try {
        done.push(await this.#install(request, byLock))
      } catch (cause) {
        if (onFailure === undefined || signal?.aborted) throw cause
        onFailure(request, cause)
      }
    }
    return done
  }

  /** @param byLock Whether a version that the lock file has for this address is good enough. */
  async #install(request: string, byLock: boolean): Promise<Installed> {
    const address = parseAddress(request)
    const known = this.lock.requests.get(request)
    if (byLock && known !== undefined) {
      const present = await this.#present(request, known.plugin, known.version)
      if (present !== undefined) return present
    }
    const exact = byLock && known !== undefined ? this.#lockedAddress(known.plugin, known.version, address) : address
    const source = await this.#sources.of(exact)
    const { signal } = this.#options
    const release = await source.resolve(exact.name, exact.range, signal === undefined ? {} : { signal })
    this.#tell({
      kind: 'resolved',
      name: release.name,
      version: release.version,
      request,
      address: release.address,
      locked: exact !== address,
    })
    if (known?.version === release.version && !byLock) {
      const present = await this.#present(request, known.plugin, known.version)
      if (present !== undefined) return present
    }
    const run = new ReleaseInstallation(
      this.#options,
      this.#store,
      this.#sources,
      source,
      release,
      this.lock,
      expectedName(address, release, known?.plugin),
    )
    const naming = (cause: unknown): never => {
      throw inRelease(cause, release)
    }
    if (this.#options.dryRun) return run.describe(request, known?.version).catch(naming)
    const { verdict, digests, platforms } = await run.bring().catch(naming)
    await this.#record(request, release, verdict, digests, known?.version, run)
    return {
      request,
      name: verdict.manifest.name,
      version: verdict.manifest.version,
      address: release.address,
      action: 'installed',
      before: known?.version,
      verdict,
      platforms,
      findings: run.findings,
    }
  }

  /** What is locked and in the store, whole, and still to be trusted, needs nobody. */
  async #present(request: string, name: string, version: string): Promise<Installed | undefined> {
    const { platforms = [currentPlatform()], policy = {} } = this.#options
    const locked = this.lock.plugins.get(name)
    const entry = locked?.versions.get(version)
    if (entry === undefined || !(await this.#store.holds(entry.manifest))) return undefined
    const manifest = await this.#store.read(entry.manifest, MAX_MANIFEST_BYTES)
    const signatures = await storedSignatures(this.#store, entry.manifest)
    let verdict: Verdict | undefined
    for (const platform of platforms) {
      verdict = await verify({ ...this.#common(), manifest, signatures, policy, plugin: name, version, platform, locked })
      if ((await missingFiles(this.#store, verdict.platform as SelectedPlatform)).size > 0) return undefined
    }
    if (!this.#options.dryRun) await addRoot(this.#store, this.#lockFile)
    return {
      request,
      name,
      version,
      address: entry.source,
      action: 'present',
      before: version,
      verdict,
      platforms: [...new Set(platforms)],
      findings: [],
    }
  }

  /** The same source as the request's, but exactly the version that is locked. */
  #lockedAddress(name: string, version: string, address: PluginAddress): PluginAddress {
    const source = this.lock.plugins.get(name)?.versions.get(version)?.source
    return source === undefined ? { ...address, range: version } : parseAddress(source)
  }

  #common() {
    const { understands, verifiers } = this.#options
    return { ...(understands !== undefined && { understands }), ...(verifiers !== undefined && { verifiers }) }
  }

  /** The lock may have changed meanwhile: what was verified under the old one is verified again under the new one. */
  async #record(
    request: string,
    release: Release,
    verdict: Verdict,
    digests: ReadonlyMap<string, readonly string[]>,
    before: string | undefined,
    run: ReleaseInstallation,
  ): Promise<void> {
    const { name, version } = verdict.manifest
    await addRoot(this.#store, this.#lockFile)
    const change = async (lock: Lock): Promise<Lock> => {
      const now = await run.verifyAgain(lock.plugins.get(name))
      const next = lockPlugin(lock, now, { source: release.address, request, digests })
      return before === undefined || before === version ? next : withoutUnused(next, name, before)
    }
    // A lock file that says it all already is not touched: a program may have been released with one that its users cannot write.
    const found = await readLockFile(this.#lockFile)
    const { signal } = this.#options
    this.lock =
      (await change(found)) === found ? found : await updateLockFile(this.#lockFile, change, signal === undefined ? {} : { signal })
    this.#tell({ kind: 'locked', name, version, lockFile: this.#lockFile })
  }

  #tell(event: InstallEvent): void {
    this.#options.onEvent?.(event)
  }
}

/** The same error with the release it is about: of several that are installed at once, all may have a `plugin.js`. */
function inRelease(cause: unknown, { name, address }: Release): unknown {
  if (!isPluginError(cause) || !/^ERR_(ARCHIVE|MANIFEST|SIGNATURE|SOURCE)_/.test(cause.code) || cause.message.includes(name)) return cause
  const facts = cause.facts as { readonly subject?: string; readonly reason?: string }
  const named = facts.subject === undefined ? { reason: `${address}: ${facts.reason}` } : { subject: `${facts.subject} of ${address}` }
  return new PluginError(cause.code, { ...cause.facts, ...named }, { cause })
}

/** A version that nothing asks for any more goes from the lock, and so from the store when it is cleaned. */
function withoutUnused(lock: Lock, name: string, version: string): Lock {
  const isUsed = [...lock.requests.values()].some(request => request.plugin === name && request.version === version)
  return isUsed ? lock : unlockPlugin(lock, name, version)
}

/** What the manifest has to be called. Where the address does not name the plugin, whatever was found there before. */
function expectedName(address: PluginAddress, release: Release, locked: string | undefined): string | undefined {
  if (locked !== undefined) return locked
  return address.kind === 'file' || address.kind === 'oci' ? undefined : release.name
}

/** One release on its way into the store. */
class ReleaseInstallation {
  readonly #options: InstallOptions
  readonly #store: ContentStore
  readonly #release: Release
  readonly #lock: Lock
  readonly #expectedName: string | undefined
  readonly #bringing: Bringing
  readonly findings: Finding[] = []
  #manifest: Uint8Array = new Uint8Array(0)
  #signatures: readonly Uint8Array[] = []

  constructor(
    options: InstallOptions,
    store: ContentStore,
    sources: Sources,
    source: Bringing['source'],
    release: Release,
    lock: Lock,
    expectedName: string | undefined,
  ) {
    this.#options = options
    this.#store = store
    this.#release = release
    this.#lock = lock
    this.#expectedName = expectedName
    const { name, version } = release
    this.#bringing = {
      store,
      source,
      client: sources.client,
      limits: options.limits,
      signal: options.signal,
      spent: new Set(),
      onFetch: (file, receivedBytes, totalBytes) =>
        options.onEvent?.({ kind: 'fetch', name, version, file: file.name, receivedBytes, totalBytes }),
    }
    for (const finding of release.findings) this.#found(finding)
  }

  #found(finding: Finding): void {
    this.findings.push(finding)
    const { name, version } = this.#release
    this.#options.onEvent?.({ kind: 'finding', name, version, finding })
  }

  /** What would be done, with nothing written. Where the manifest can be had by itself it is verified. */
  async describe(request: string, before: string | undefined): Promise<Installed> {
    const { layout, name, version, address } = this.#release
    let verdict: Verdict | undefined
    if (layout.kind === 'files') {
      const brought = await bringManifest(this.#bringing, layout)
      this.#manifest = brought.manifest
      this.#signatures = brought.signatures
      verdict = await this.#verify(this.#lockedPlugin(), this.#platforms()[0])
    } else if (layout.kind === 'import') this.#refuseUnsigned()
    const { manifest = { name, version } } = verdict ?? {}
    return {
      request,
      name: manifest.name,
      version: manifest.version,
      address,
      action: 'would-install',
      before,
      verdict,
      platforms: this.#platforms(),
      findings: this.findings,
    }
  }

  async bring(): Promise<{ verdict: Verdict; digests: ReadonlyMap<string, readonly string[]>; platforms: readonly string[] }> {
    const { layout } = this.#release
    const bringing = this.#bringing
    let digests: ReadonlyMap<string, readonly string[]> = new Map()
    let platforms = this.#platforms()
    let files: ((platform: SelectedPlatform) => Promise<unknown>) | undefined
    try {
      if (layout.kind === 'files') {
        const brought = await bringManifest(bringing, layout)
        this.#manifest = brought.manifest
        this.#signatures = brought.signatures
        files = platform => bringFiles(bringing, layout, platform)
      } else if (layout.kind === 'packages') {
        const packages = new BroughtPackages(bringing, layout)
        const brought = await packages.manifest()
        this.#manifest = brought.manifest
        this.#signatures = brought.signatures
        files = platform => packages.files(platform)
      } else {
        this.#refuseUnsigned()
        // The manifest that is locked was made of all of its platforms; only from all of them it can be made again.
        const locked = this.#lockedPlugin()?.versions.get(this.#release.version)?.platforms.keys() ?? []
        platforms = [...new Set([...platforms, ...locked])].sort()
        const brought = await bringImport(bringing, layout, this.#release, platforms, finding => this.#found(finding))
        this.#manifest = brought.manifest
        digests = brought.digests
      }
      const verdict = await this.#bringPlatforms(platforms, files)
      await this.#keepDocuments(verdict)
      return { verdict, digests, platforms }
    } finally {
      await this.#removeSpent()
    }
  }

  /** First the manifest for every platform, then files: nothing large is fetched of a release that will not be accepted. */
  async #bringPlatforms(
    platforms: readonly string[],
    files: ((platform: SelectedPlatform) => Promise<unknown>) | undefined,
  ): Promise<Verdict> {
    const locked = this.#lockedPlugin()
    let verdict = await this.#verify(locked, platforms[0])
    const { name, version } = verdict.manifest
    this.#options.onEvent?.({ kind: 'verified', name, version, basis: verdict.basis, signers: verdict.signers })
    if (verdict.basis === 'first-use' && (await this.#options.onFirstUse?.(verdict)) === false) throw notAccepted(verdict)
    const selected = platforms.map(platform => selectPlatform(verdict.manifest, platform))
    for (const platform of selected) {
      await files?.(platform)
      verdict = await this.#verify(locked, platform.name, platform)
    }
    return verdict
  }

  #verify(locked: LockedPlugin | undefined, platform: string | undefined, files?: SelectedPlatform): Promise<Verdict> {
    const { policy = {}, understands, verifiers } = this.#options
    return verify({
      manifest: this.#manifest,
      signatures: this.#signatures,
      policy,
      version: this.#release.version,
      locked,
      ...(this.#expectedName !== undefined && { plugin: this.#expectedName }),
      ...(platform !== undefined && { platform }),
      ...(files !== undefined && { files: digestsOf(files) }),
      ...(understands !== undefined && { understands }),
      ...(verifiers !== undefined && { verifiers }),
    })
  }

  /** The same question once more, with what the lock file says now. */
  verifyAgain(locked: LockedPlugin | undefined): Promise<Verdict> {
    return this.#verify(locked, undefined)
  }

  #platforms(): readonly string[] {
    return [...new Set(this.#options.platforms ?? [currentPlatform()])]
  }

  #lockedPlugin(): LockedPlugin | undefined {
    const { layout, name } = this.#release
    if (this.#expectedName !== undefined) return this.#lock.plugins.get(this.#expectedName)
    if (layout.kind === 'import') return this.#lock.plugins.get(name)
    return this.#manifest.length === 0 ? undefined : this.#lock.plugins.get(readManifest(this.#manifest, this.#understands()).name)
  }

  #understands() {
    const { understands } = this.#options
    return understands === undefined ? {} : { understands }
  }

  /** What has no manifest has no signature of one: said before hundreds of megabytes are fetched for nothing. */
  #refuseUnsigned(): void {
    const { policy = {} } = this.#options
    const { name, version } = this.#release
    const isLocked = this.#lockedPlugin()?.versions.has(version) ?? false
    if (policy.require === 'none' || (policy.require === 'digest' && isLocked)) return
    throw new PluginError('ERR_SIGNATURE_MISSING', {
      plugin: name,
      reason: `${name} ${version} was not made for plugwire and has no signature that the policy knows`,
      remedy: 'If its source is enough for you, allow this one to be unsigned (--allow-unsigned); the lock file then pins what was found.',
    })
  }

  async #keepDocuments({ manifestSha512 }: Verdict): Promise<void> {
    const name = `${this.#release.name} ${this.#release.version}`
    await this.#store.put(this.#manifest, { sha512: manifestSha512, name: `the manifest of ${name}` })
    const digests: string[] = []
    for (const signature of this.#signatures) digests.push((await this.#store.put(signature, { name: `a signature of ${name}` })).sha512)
    await rememberSignatures(this.#store, manifestSha512, digests)
  }

  /** Archives are needed once. One that is a file of a plugin itself stays. */
  async #removeSpent(): Promise<void> {
    const wanted = new Set<string>()
    try {
      const { platforms } = readManifest(this.#manifest, this.#understands())
      for (const { files } of Object.values(platforms)) for (const { sha512 } of Object.values(files)) wanted.add(sha512)
    } catch {
      // Without a manifest nothing is wanted.
    }
    for (const sha512 of this.#bringing.spent) if (!wanted.has(sha512)) await unlink(this.#store.pathOf(sha512)).catch(() => {}) // `gc` finds it if it cannot be removed now.
  }
}

function notAccepted({ manifest, signers }: Verdict): PluginError {
  const fingerprints = signers.map(({ fingerprint }) => fingerprint)
  return new PluginError('ERR_TRUST_UNKNOWN_SIGNER', {
    plugin: manifest.name,
    publisher: manifest.publisher.name,
    fingerprints,
    reason: `${manifest.name} ${manifest.version} is signed by ${fingerprints.join(' and ')}, and that key was not accepted`,
    remedy: 'Compare the fingerprint with the one that the publisher shows elsewhere; if it is the same, trust it: plugwire trust add.',
  })
}

/** A version beside those in use. */
export interface OutdatedPlugin {
  readonly request: string
  readonly name: string
  readonly current: string
  /** The newest that the address allows. */
  readonly wanted: string
  /** The newest there is. */
  readonly latest: string
  /** The address to install `latest`, when `request` does not allow it. */
  readonly address: string
}

/**
 * Which plugins have newer versions. Fetches lists of versions and nothing else.
 * @param what Addresses or names. Default: all.
 */
export async function outdated(what: readonly string[] = [], options: InstallOptions = {}): Promise<OutdatedPlugin[]> {
  const lock = await readLockFile(resolve(options.lockFile ?? LOCK_FILE_NAME))
  const sources = new OpenSources({ ...options.sources, http: { ...options.sources?.http, ...(options.offline && { offline: true }) } })
  const { default: semver } = await import('semver')
  const found: OutdatedPlugin[] = []
  const look = async (request: string): Promise<OutdatedPlugin | undefined> => {
    const address = parseAddress(request)
    const { plugin: name, version: current } = lock.requests.get(request) as { plugin: string; version: string }
    const source = await sources.of(address)
    const versions = [...(await source.versions(address.name, options.signal === undefined ? {} : { signal: options.signal }))]
    const wanted = semver.maxSatisfying(versions, address.range) ?? current
    const latest = semver.maxSatisfying(versions, '*') ?? wanted
    if (!semver.gt(wanted, current) && !semver.gt(latest, current)) return undefined
    return { request, name, current, wanted, latest, address: formatAddress({ ...address, range: `^${latest}` }) }
  }
  try {
    for (const request of requestsOf(lock, what)) {
      try {
        const newer = await look(request)
        if (newer !== undefined) found.push(newer)
      } catch (cause) {
        if (options.onFailure === undefined || options.signal?.aborted) throw cause
        options.onFailure(request, cause)
      }
    }
  } finally {
    sources[Symbol.dispose]()
  }
  return found
}
