// `plugwire sign`: a signature beside a manifest.

import type { Command } from 'commander'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { openKey, type PasswordOptions, readDocument, write } from '../documents.ts'
import { usage } from '../failure.ts'

interface SignOptions extends PasswordOptions {
  readonly key: string
  readonly out?: string
  readonly comment?: string
  readonly signify?: boolean
  readonly rewrite?: boolean
  readonly raw?: boolean
  readonly namespace?: string
  readonly json?: boolean
}

export interface SignReport {
  readonly file: string
  readonly signature: string
  /** `manifest/1`, `rotation/1`, `revocations/1`; null with `--raw`. */
  readonly document: string | null
  readonly plugin?: { readonly name: string; readonly version: string }
  readonly fingerprint: string
}

export function addSign(program: Command, context: Context): void {
  const command = program
    .command('sign')
    .summary('signs a manifest')
    .description(
      'Signs a manifest (or a rotation statement, or a revocation list) and writes the signature beside it: <file>.minisig by a minisign key, ' +
        '<file>.sig by an SSH key. The manifest is read first, as its users will: what they would refuse is not signed.',
    )
    .argument('<file>', 'the manifest')
    .requiredOption('--key <file>', 'the secret key: of minisign, of signify without a password, or of OpenSSH (Ed25519, not encrypted)')
    .option('--password-file <file>', "the key's password is the first line of this file; otherwise it is asked for")
    .option('--out <file>', 'where the signature goes')
    .option('--comment <text>', 'the trusted comment of a minisign signature')
    .option('--signify', 'write a signature that signify reads')
    .option('--rewrite', 'bring a manifest that was written by hand into canonical form first')
    .option('--raw', 'sign any file; it will not pass as a manifest')
    .option('--namespace <text>', 'of an SSH signature with --raw (default: plugwire)')
  context.finish(command, ['plugwire sign plugin.json --key plugwire.key', 'plugwire sign plugin.json --key ~/.ssh/id_ed25519'])
  command.action((file: string, options: SignOptions) => context.run(options, () => sign(file, options, context)))
}

async function sign(file: string, options: SignOptions, { output, signal }: Context): Promise<void> {
  if (options.namespace !== undefined && !options.raw)
    throw usage('--namespace goes with --raw', 'Manifests are signed for one purpose only.')
  const { canonicalize, documentFormat, readManifest } = await import('@plugwire/trust')
  const given = await readDocument(file)
  const format = options.raw ? undefined : documentFormat(given)
  if (format === undefined && !options.raw) {
    throw usage(`${file} is no manifest`, 'Its field "plugwire" says "manifest/1"; --raw signs any file.')
  }
  const document = options.rewrite && !options.raw ? canonicalize(given) : given
  const plugin = await checked(format, document, readManifest)
  const key = await openKey(options.key, options, signal)
  if (key.format === 'ssh' && (options.comment !== undefined || options.signify))
    throw usage('--comment and --signify are for minisign keys')
  const signature = key.sign(document, {
    ...(options.comment !== undefined && { trustedComment: options.comment }),
    ...(options.signify && { signify: true }),
    ...(options.namespace !== undefined && { namespace: options.namespace }),
  })
  if (Buffer.compare(document, given) !== 0) await write(file, document)
  const path = options.out ?? `${file}${options.signify ? '.sig' : key.signatureEnding}`
  await write(path, signature)
  const { fingerprint } = key.publicKey
  const report: SignReport = { file, signature: path, document: format ?? null, ...(plugin && { plugin }), fingerprint }
  if (options.json) return output.document(report)
  await output.line(`${paint('bold', path)}   ${plugin ? `${plugin.name} ${plugin.version}, ` : ''}signed by ${fingerprint}`)
}

/** What a reader would refuse is not signed. */
async function checked(
  format: string | undefined,
  document: Uint8Array,
  readManifest: typeof import('@plugwire/trust').readManifest,
): Promise<SignReport['plugin']> {
  if (format === undefined) return undefined
  const trust = await import('@plugwire/trust')
  switch (format) {
    case trust.ROTATION_FORMAT:
      trust.readRotation(document)
      return undefined
    case trust.REVOCATIONS_FORMAT:
      trust.readRevocationList(document)
      return undefined
    default: {
      // Whoever signs has written the critical fields, so they are understood.
      const critical = (JSON.parse(Buffer.from(document).toString('utf8')) as { critical?: unknown }).critical
      const { name, version } = readManifest(document, { understands: Array.isArray(critical) ? critical.map(String) : [] })
      return { name, version }
    }
  }
}
