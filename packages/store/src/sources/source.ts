// What every place that plugins come from has in common. A source says what there is and hands out bytes; it decides nothing about trust.

/** One file that a source can hand out. */
export interface SourceFile {
  /** For people and for telling formats apart, e.g. `aws-1.2.0-linux-x64.tar.gz`. */
  readonly name: string
  /** Where the source finds it. Means nothing to anybody else. */
  readonly location: string
  /** Bytes, when the source says so before. Held against what comes. */
  readonly size?: number
  /** Digests that the source tells, or that are signed: lower-case hexadecimal digits. Every one of them has to fit. */
  readonly digests?: { readonly sha512?: string; readonly sha256?: string }
}

export interface FetchOptions {
  /** Bytes that are there already. A source may ignore it; `FetchedFile.offset` says where it really begins. */
  readonly offset?: number
  /** What `FetchedFile.validator` said when those bytes were fetched: if the file has changed since, it begins again. */
  readonly validator?: string
  readonly signal?: AbortSignal
  /** Told of every portion as it comes. */
  readonly onProgress?: (progress: { readonly receivedBytes: number; readonly totalBytes: number | undefined }) => void
}

export interface FetchedFile {
  /** Where `body` begins: `FetchOptions.offset`, or 0. */
  readonly offset: number
  /** Bytes of the whole file, when known. */
  readonly size: number | undefined
  readonly validator: string | undefined
  /** To be read once. A connection that breaks throws `Interruption`; then fetch again from where it broke. */
  readonly body: AsyncIterable<Uint8Array>
}

/** What a source itself found out about a release. */
export interface Finding {
  readonly what: 'registry-signature' | 'checksums' | 'checksums-signature' | 'digest'
  /** `absent` and `unchecked` are no failure by themselves: whoever installs decides. */
  readonly state: 'valid' | 'absent' | 'unchecked'
  /** For people. */
  readonly text: string
}

/** What a plugin that was not made for plugwire is said to be. The manifest is made of it and of the files, here, and is unsigned. */
export interface ImportedAs {
  readonly type: 'program'
  readonly publisher: string
  readonly contract: { readonly name: string; readonly versions: readonly number[]; readonly protocols: readonly string[] }
  /** Which of the files is started. */
  readonly entry: RegExp
}

/** Where the parts of a release are. */
export type Layout =
  /** Manifest, signatures and archives are files of their own. */
  | {
      readonly kind: 'files'
      readonly manifest: SourceFile
      /** Candidates: one that is not there is left out. */
      readonly signatures: readonly SourceFile[]
      /** A file by its path beside the manifest; undefined when there is none. */
      readonly file: (path: string) => SourceFile | undefined
    }
  /** The manifest, its signatures and the plugin's files, or its archives, lie in archives. The first one has the manifest. */
  | {
      readonly kind: 'packages'
      readonly packages: readonly SourceFile[]
      /** More of them, for one platform. */
      readonly forPlatform: (platform: string) => Promise<readonly SourceFile[]>
      /** Directory inside of them that everything lies in, e.g. `package`; undefined when there is none. */
      readonly inside: string | undefined
    }
  /** No manifest: an archive for each platform. */
  | {
      readonly kind: 'import'
      readonly as: ImportedAs
      readonly archive: (platform: string) => Promise<ImportedArchive>
      readonly platforms: readonly string[]
    }

export interface ImportedArchive {
  readonly file: SourceFile
  readonly findings: readonly Finding[]
}

export interface Release {
  readonly name: string
  readonly version: string
  /** The exact address, to be recorded and to be used again, e.g. `npm:@acme/aws@2.1.0`. */
  readonly address: string
  readonly layout: Layout
  readonly findings: readonly Finding[]
}

export interface ResolveOptions {
  readonly signal?: AbortSignal
}

export interface Source {
  /** Which source it is, with its server: two with the same id hand out the same files. */
  readonly id: string
  /** All versions of a plugin, in no order. @throws PluginError `ERR_SOURCE_NOT_FOUND` when there is no such plugin. */
  versions(name: string, options?: ResolveOptions): Promise<readonly string[]>
  /**
   * The newest version in a range.
   * @param range Semver; an exact version is one too. `*` leaves out pre-releases.
   * @throws PluginError `ERR_SOURCE_…`
   */
  resolve(name: string, range: string, options?: ResolveOptions): Promise<Release>
  /** @throws PluginError `ERR_SOURCE_…`, Interruption */
  fetch(file: SourceFile, options?: FetchOptions): Promise<FetchedFile>
}

/** A connection that broke, stalled, or was never made. Worth another try. */
export class Interruption extends Error {
  /** HTTP status, when there was one. */
  readonly status: number | null
  /** What the server asked to wait. Milliseconds. */
  readonly retryAfterMs: number | undefined

  constructor(reason: string, options: ErrorOptions & { readonly status?: number; readonly retryAfterMs?: number | undefined } = {}) {
    super(reason, options)
    this.status = options.status ?? null
    this.retryAfterMs = options.retryAfterMs
  }
}
