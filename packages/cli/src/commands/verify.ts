// `plugwire verify`: is this manifest signed by somebody who is trusted, and are these its files?

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join, relative, resolve, sep } from 'node:path'
import type { FileDigest, TrustPolicy, Verdict } from '@plugwire/trust'
import type { Command } from 'commander'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { collect, readDocument, readKeyArgument, readSignatures } from '../documents.ts'
import { usage } from '../failure.ts'

interface VerifyOptions {
  readonly key?: readonly string[]
  readonly signature?: readonly string[]
  readonly plugin?: string
  readonly version?: string
  readonly files?: string
  readonly platform?: string
  readonly lock?: string
  readonly trustFile?: string
  readonly allowDowngrade?: boolean
  readonly raw?: boolean
  readonly namespace?: string
  readonly json?: boolean
}

export interface VerifyReport {
  readonly file: string
  readonly plugin: string
  readonly version: string
  readonly publisher: string
  readonly basis: Verdict['basis']
  readonly signers: readonly {
    readonly publisher: string
    readonly fingerprint: string
    readonly format: string
    readonly comment?: string
  }[]
  readonly manifestSha512: string
  readonly notAfter: string | null
  readonly platform: string | null
  /** How many files were read and are those of the manifest. */
  readonly filesChecked: number
}

export function addVerify(program: Command, context: Context): void {
  const command = program
    .command('verify')
    .summary('is a manifest signed by somebody who is trusted, and are these its files?')
    .description(
      'Checks a manifest: its form, its signatures, whether a trusted key made one, that it has not expired, and with --lock that it is neither ' +
        'older than what was used nor another one under the same version. With --files also the files. Runs nothing.\n\n' +
        'Trusted are the keys given with --key, otherwise those of `plugwire trust`. Exits with 0 when everything holds, else with 1.\n' +
        'It says what the files are now. To run exactly what was verified, let the host launch it: docs/trust.md.',
    )
    .argument('<file>', 'the manifest')
    .option('--key <key>', 'a public key or a file with one, trusted for this manifest; may be repeated', collect)
    .option('--signature <file>', 'a signature; may be repeated (default: <file>.minisig and <file>.sig)', collect)
    .option('--plugin <name>', 'the plugin that it has to be')
    .option('--version <version>', 'the version that it has to be')
    .option('--files <directory>', "check the platform's files in this directory: all of them and no others")
    .option('--platform <platform>', "whose files (default: this machine's)")
    .option('--lock <file>', 'hold it against this lock file')
    .option('--allow-downgrade', 'also when the lock file knows a higher version')
    .option('--trust-file <file>', 'where the trusted keys are')
    .option('--raw', 'any file with its signature; needs --key')
    .option('--namespace <text>', 'of an SSH signature with --raw (default: plugwire)')
  context.finish(command, ['plugwire verify plugin.json', 'plugwire verify plugin.json --key acme.pub --plugin @acme/aws --files ./dist'])
  command.action((file: string, options: VerifyOptions) => context.run(options, () => check(file, options, context)))
}

async function check(file: string, options: VerifyOptions, context: Context): Promise<void> {
  if (options.raw) return checkRaw(file, options, context)
  if (options.namespace !== undefined) throw usage('--namespace goes with --raw')
  const { output, signal } = context
  const trust = await import('@plugwire/trust')
  const manifest = await readDocument(file)
  const signatures = await readSignatures(file, options.signature)
  const { name, publisher } = trust.readManifest(manifest)
  const wantsPlatform = options.platform !== undefined || options.files !== undefined
  const platform = options.platform ?? trust.currentPlatform()
  const locked = options.lock === undefined ? undefined : (await trust.readLockFile(options.lock)).plugins.get(options.plugin ?? name)
  const policy = await policyOf(options, publisher.name)
  const request = {
    manifest,
    signatures: signatures.map(({ bytes }) => bytes),
    policy: options.allowDowngrade ? { ...policy, allowDowngrade: true } : policy,
    locked,
    ...(options.plugin !== undefined && { plugin: options.plugin }),
    ...(options.version !== undefined && { version: options.version }),
    ...(wantsPlatform && { platform }),
  }
  // The signature first: nothing is read on behalf of a manifest that is not trusted.
  let verdict = await trust.verify(request)
  let files: ReadonlyMap<string, FileDigest> | undefined
  if (options.files !== undefined) {
    // As `plugwire pack` lays them out, the files lie beside their manifest.
    const documents = new Set([file, ...signatures.map(({ path }) => path)].map(path => resolve(path)))
    files = await digestFiles(options.files, documents, Object.keys(verdict.platform?.files ?? {}).length, signal)
    verdict = await trust.verify({ ...request, files })
  }
  const report: VerifyReport = {
    file,
    plugin: verdict.manifest.name,
    version: verdict.manifest.version,
    publisher: verdict.manifest.publisher.name,
    basis: verdict.basis,
    signers: verdict.signers.map(({ publisher, fingerprint, format, comment }) => ({
      publisher,
      fingerprint,
      format,
      ...(comment !== undefined && { comment }),
    })),
    manifestSha512: verdict.manifestSha512,
    notAfter: verdict.manifest.notAfter ?? null,
    platform: verdict.platform?.name ?? null,
    filesChecked: files?.size ?? 0,
  }
  if (options.json) return output.document(report)
  await output.line(`${paint('green', 'ok')}   ${paint('bold', report.plugin)} ${report.version} by ${report.publisher}`)
  for (const { fingerprint, format, comment } of report.signers) {
    await output.line(
      `     signed by ${fingerprint} (${format}, ${verdict.basis})${comment === undefined ? '' : `: ${JSON.stringify(comment)}`}`,
    )
  }
  if (report.notAfter !== null) await output.line(`     good until ${report.notAfter}`)
  if (files !== undefined)
    await output.line(`     ${files.size} ${files.size === 1 ? 'file' : 'files'} for ${report.platform} as in the manifest`)
}

async function policyOf(options: VerifyOptions, publisher: string): Promise<TrustPolicy> {
  const { readTrustFile, trustPolicy } = await import('@plugwire/trust')
  if (options.key !== undefined) return { publishers: [{ name: publisher, keys: await Promise.all(options.key.map(readKeyArgument)) }] }
  return trustPolicy(await readTrustFile(options.trustFile))
}

async function checkRaw(file: string, options: VerifyOptions, { output }: Context): Promise<void> {
  const { verifySignature } = await import('@plugwire/trust')
  if (options.key === undefined || options.key.length !== 1)
    throw usage('--raw needs one --key', 'Who may sign any file is not known otherwise.')
  const key = await readKeyArgument(options.key[0] as string)
  const document = await readDocument(file)
  const signatures = await readSignatures(file, options.signature)
  const [signature] = signatures
  if (signature === undefined || signatures.length > 1)
    throw usage(`--raw needs one signature; ${signatures.length} are beside ${file}`, 'Name it with --signature.')
  const { format, key: signer, comment } = verifySignature(document, signature.bytes, key, options.namespace)
  const report = { file, signature: signature.path, format, fingerprint: signer.fingerprint, ...(comment !== undefined && { comment }) }
  if (options.json) return output.document(report)
  await output.line(`${paint('green', 'ok')}   ${file}`)
  await output.line(`     signed by ${signer.fingerprint} (${format})${comment === undefined ? '' : `: ${JSON.stringify(comment)}`}`)
}

/**
 * Every file below a directory but the documents that are being verified. Links are refused: what they lead to is not in the directory.
 */
async function digestFiles(
  directory: string,
  documents: ReadonlySet<string>,
  expected: number,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, FileDigest>> {
  const digests = new Map<string, FileDigest>()
  // With types: by names alone it would follow links, also those that lead round in circles.
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch((cause: Error) => {
    throw usage(`${directory} cannot be read: ${cause.message}`)
  })
  const paths: string[] = []
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isDirectory() || documents.has(resolve(path))) continue
    if (!entry.isFile()) throw usage(`${path} is neither a file nor a directory`, 'Links and devices are not part of a plugin.')
    paths.push(path)
  }
  // Before anything is hashed: it may be the wrong directory, and a large one.
  if (paths.length > expected) {
    const { PluginError } = await import('plugwire')
    throw new PluginError('ERR_TRUST_FILE', {
      path: directory,
      expected: `${expected} files`,
      actual: `${paths.length} files`,
      reason: `${directory} holds ${paths.length} files, the manifest names ${expected}`,
      remedy: 'Give the directory that holds the files of the plugin and nothing else.',
    })
  }
  for (const path of paths.sort()) {
    const hash = createHash('sha512')
    let size = 0
    for await (const part of createReadStream(path, { signal }) as AsyncIterable<Buffer>) {
      hash.update(part)
      size += part.byteLength
    }
    digests.set(relative(directory, path).split(sep).join('/'), { sha512: hash.digest('hex'), size })
  }
  return digests
}
