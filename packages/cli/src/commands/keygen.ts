// `plugwire keygen`: a key pair to sign plugins with.

import { chmod, rm } from 'node:fs/promises'
import type { Command } from 'commander'
import { askSecret, canAsk } from '../ask.ts'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { type PasswordOptions, readPasswordFile, writeNew } from '../documents.ts'
import { CommandFailure, ExitCode, usage } from '../failure.ts'

interface KeygenOptions extends PasswordOptions {
  readonly format: string
  readonly out: string
  readonly password: boolean
  readonly comment?: string
  readonly json?: boolean
}

export interface KeygenReport {
  readonly format: 'minisign' | 'ssh'
  readonly secretKey: string
  readonly publicKey: string
  readonly fingerprint: string
  /** The public key as one line, as a policy or a manifest takes it. */
  readonly key: string
  readonly encrypted: boolean
}

export function addKeygen(program: Command, context: Context): void {
  const command = program
    .command('keygen')
    .summary('makes a key pair to sign plugins with')
    .description(
      'Makes an Ed25519 key pair: <out>.key is secret, <out>.pub is for everybody. Both are files of minisign, or with --format ssh of OpenSSH, ' +
        'and work with those tools. A file that exists is never overwritten.\n\nWhoever has an OpenSSH key already needs no other one: ssh-keygen -Y sign -n plugwire.',
    )
    .option('--format <format>', 'minisign or ssh', 'minisign')
    .option('--out <path>', 'where the two files go, without their endings', 'plugwire')
    .option('--password-file <file>', 'the password is the first line of this file; otherwise it is asked for')
    .option('--no-password', 'the secret key is not encrypted: for machines that sign, whose disk is the secret')
    .option('--comment <text>', 'of an SSH key: who it belongs to')
  context.finish(command, ['plugwire keygen', 'plugwire keygen --format ssh --no-password --out release'])
  command.action((options: KeygenOptions) => context.run(options, () => keygen(options, context)))
}

async function keygen(options: KeygenOptions, { output, signal }: Context): Promise<void> {
  const { format, out } = options
  if (format !== 'minisign' && format !== 'ssh') throw usage(`--format ${format}: it is minisign or ssh`)
  if (format === 'minisign' && options.comment !== undefined) throw usage('--comment is for SSH keys')
  const password = await passwordOf(options, format, signal)
  const { generateKey } = await import('@plugwire/trust')
  const key = generateKey(format)
  const pair = await key.export({
    ...(password !== undefined && { password }),
    ...(options.comment !== undefined && { comment: options.comment }),
  })
  const [secretKey, publicKey] = [`${out}.key`, `${out}.pub`]
  await writeNew(secretKey, pair.secret, 0o600)
  try {
    await writeNew(publicKey, pair.public, 0o644)
  } catch (failure) {
    await rm(secretKey, { force: true }) // Half a pair is worse than none.
    throw failure
  }
  await chmod(secretKey, 0o600) // Whatever the umask.
  const { fingerprint, text } = key.publicKey
  const report: KeygenReport = { format, secretKey, publicKey, fingerprint, key: text, encrypted: password !== undefined }
  if (options.json) return output.document(report)
  await output.line(`${paint('bold', secretKey)}   secret${report.encrypted ? '' : ', not encrypted'}: keep it, and keep a copy elsewhere`)
  await output.line(`${paint('bold', publicKey)}   for everybody: show its fingerprint where your users look`)
  await output.line(`\n  ${fingerprint}\n  ${text}`)
}

async function passwordOf(options: KeygenOptions, format: 'minisign' | 'ssh', signal: AbortSignal): Promise<string | undefined> {
  if (format === 'ssh') {
    if (options.passwordFile !== undefined)
      throw usage('an SSH key is made without a password', 'Give it one afterwards: ssh-keygen -p -f <key>')
    return undefined
  }
  if (!options.password) return undefined
  const given = await readPasswordFile(options)
  if (given !== undefined) return given
  if (!canAsk()) throw usage('there is nobody to ask for a password', 'Give --password-file, or say --no-password.')
  const password = await askSecret('password for the secret key', signal)
  if (password === '') throw usage('a password is not empty', 'Say --no-password for a key without one.')
  if (password === (await askSecret('the same again', signal))) return password
  throw new CommandFailure('CLI_PASSWORD', 'the two passwords differ', ExitCode.failed, 'Nothing was written.')
}
