// `plugwire trust`: whom this user trusts, and what publishers say about their own keys.

import type { SignedDocument, Trust } from '@plugwire/trust'
import type { Command } from 'commander'
import { canAsk, confirm } from '../ask.ts'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { collect, openKey, type PasswordOptions, readDocument, readKeyArgument, readSignatures, write } from '../documents.ts'
import { CommandFailure, ExitCode, usage } from '../failure.ts'

interface TrustOptions {
  readonly trustFile?: string
  readonly json?: boolean
}

interface AddOptions extends TrustOptions {
  readonly plugin?: readonly string[]
  readonly fingerprint?: string
  readonly yes?: boolean
}

interface AcceptOptions extends AddOptions {
  readonly signature?: readonly string[]
}

interface ImportOptions extends TrustOptions {
  readonly signature?: readonly string[]
}

interface StatementOptions extends PasswordOptions {
  readonly key: string
  readonly to?: string
  readonly sequence?: string
  readonly revoke?: readonly string[]
  readonly out: string
  readonly json?: boolean
}

export interface TrustReport {
  readonly file: string
  readonly publishers: readonly {
    readonly name: string
    /** null: every plugin. */
    readonly plugins: readonly string[] | null
    readonly keys: readonly {
      readonly fingerprint: string
      readonly key: string
      readonly basis: string
      readonly since: string
      readonly revoked: boolean
    }[]
    readonly rotations: number
    readonly revocationSequence: number
  }[]
  readonly revoked: { readonly keys: readonly string[]; readonly manifests: readonly string[] }
}

const trustFileOption = [
  '--trust-file <file>',
  'where the trusted keys are (default: plugwire/trust.json in the configuration directory)',
] as const

export function addTrust(program: Command, context: Context): void {
  const trust = program
    .command('trust')
    .summary('whom you trust, and what publishers say about their keys')
    .description(
      'Keeps the public keys of publishers whom you trust, in a file that only you may write. A key is trusted when you say so, with its fingerprint ' +
        'before your eyes; nothing is trusted because it was there first.',
    )
    .enablePositionalOptions()

  const list = trust
    .command('list', { isDefault: true })
    .description('Shows whom you trust, since when and why.')
    .option(...trustFileOption)
  context.finish(list, ['plugwire trust', 'plugwire trust list --json'])
  list.action((options: TrustOptions) => context.run(options, () => show(options, context)))

  const add = trust
    .command('add')
    .description(
      'Trusts a public key of a publisher. Compare the fingerprint with the one that the publisher shows elsewhere, not where you got the key.\n' +
        'Asks before it does; where there is no terminal give --fingerprint, which has to be the one of the key.',
    )
    .argument('<publisher>', 'the name in its manifests')
    .argument('<key>', 'the public key, or a file with it')
    .option('--plugin <name>', 'only for this plugin, or these: @acme/*; may be repeated', collect)
  confirmation(add)
  context.finish(add, ['plugwire trust add acme acme.pub --plugin "@acme/*"'])
  add.action((publisher: string, key: string, options: AddOptions) => context.run(options, () => addKey(publisher, key, options, context)))

  const accept = trust
    .command('accept')
    .description(
      'Trusts the key that a manifest brings itself, for this one plugin: the first use of a publisher of whom nothing is known. The signature is ' +
        'checked with that key first. It is recorded as a first use, with the date.',
    )
    .argument('<manifest>', 'the manifest')
    .option('--signature <file>', 'a signature; may be repeated (default: those beside the manifest)', collect)
  confirmation(accept)
  context.finish(accept, ['plugwire trust accept plugin.json'])
  accept.action((manifest: string, options: AcceptOptions) => context.run(options, () => acceptFirst(manifest, options, context)))

  const remove = trust
    .command('remove')
    .description('Trusts a publisher no longer, or only one of its keys.')
    .argument('<publisher>', 'its name')
    .argument('[fingerprint]', 'of the key (default: all of them)')
    .option(...trustFileOption)
  context.finish(remove, ['plugwire trust remove acme'])
  remove.action((publisher: string, fingerprint: string | undefined, options: TrustOptions) =>
    context.run(options, () => removeKey(publisher, fingerprint, options, context)),
  )

  const revoke = trust
    .command('revoke')
    .description('Refuses a key or a release from now on, whoever vouches for it.')
    .argument('<what>', 'the fingerprint of a key (SHA256:…), or the SHA-512 of a manifest')
    .option(...trustFileOption)
  context.finish(revoke, ['plugwire trust revoke SHA256:JTzOAHrKRpnYNtUCB/ZcHyVYAYdRwwVJf/1B4qfvm6k'])
  revoke.action((what: string, options: TrustOptions) => context.run(options, () => revokeOne(what, options, context)))

  const take = trust
    .command('import')
    .description('Takes over what a trusted publisher says of its own keys: a rotation statement or a revocation list.')
    .argument('<statement>', 'the document')
    .option('--signature <file>', 'a signature; may be repeated (default: those beside the document)', collect)
    .option(...trustFileOption)
  context.finish(take, ['plugwire trust import acme-rotation.json'])
  take.action((statement: string, options: ImportOptions) => context.run(options, () => importStatement(statement, options, context)))

  const rotate = trust
    .command('rotate')
    .description('For publishers: writes and signs the statement that a new key takes over from an old one.')
    .argument('<publisher>', 'your name in your manifests')
    .requiredOption('--key <file>', 'the old secret key')
    .requiredOption('--to <key>', 'the new public key, or a file with it')
    .option('--password-file <file>', "the old key's password is the first line of this file")
    .option('--out <file>', 'where the statement goes; its signature goes beside it', 'rotation.json')
  context.finish(rotate, ['plugwire trust rotate acme --key old.key --to new.pub'])
  rotate.action((publisher: string, options: StatementOptions) => context.run(options, () => writeRotation(publisher, options, context)))

  const disown = trust
    .command('disown')
    .description('For publishers: writes and signs the list of your keys and releases that are no longer good.')
    .argument('<publisher>', 'your name in your manifests')
    .requiredOption('--key <file>', 'a secret key of yours; best one that is not on the list')
    .requiredOption('--sequence <number>', 'higher than that of your last list')
    .requiredOption('--revoke <what>', 'the fingerprint of a key, or the SHA-512 of a manifest; may be repeated', collect)
    .option('--password-file <file>', "the key's password is the first line of this file")
    .option('--out <file>', 'where the list goes; its signature goes beside it', 'revocations.json')
  context.finish(disown, [
    'plugwire trust disown acme --key acme.key --sequence 3 --revoke SHA256:JTzOAHrKRpnYNtUCB/ZcHyVYAYdRwwVJf/1B4qfvm6k',
  ])
  disown.action((publisher: string, options: StatementOptions) => context.run(options, () => writeRevocations(publisher, options, context)))
}

function confirmation(command: Command): void {
  command
    .option('--fingerprint <fingerprint>', 'the fingerprint that the key has to have; then nothing is asked')
    .option('--yes', 'ask nothing: the fingerprint is only shown')
    .option(...trustFileOption)
}

async function fileOf({ trustFile }: TrustOptions): Promise<string> {
  return trustFile ?? (await import('@plugwire/trust')).defaultTrustFile()
}

async function show(options: TrustOptions, { output }: Context): Promise<void> {
  const { isRevoked, readTrustFile } = await import('@plugwire/trust')
  const file = await fileOf(options)
  const trust = await readTrustFile(file)
  const report: TrustReport = {
    file,
    publishers: [...trust.publishers].map(([name, { keys, plugins, rotations, revoked }]) => ({
      name,
      plugins: plugins ?? null,
      keys: [...keys].map(([fingerprint, key]) => ({ fingerprint, ...key, revoked: isRevoked(trust, name, fingerprint) })),
      rotations: rotations.length,
      revocationSequence: revoked.sequence,
    })),
    revoked: trust.revoked,
  }
  if (options.json) return output.document(report)
  if (report.publishers.length === 0) await output.line('You trust nobody yet: plugwire trust add <publisher> <key>')
  for (const { name, plugins, keys } of report.publishers) {
    await output.line(`${paint('bold', name)}   ${plugins === null ? 'every plugin' : plugins.join(', ') || 'no plugin'}`)
    for (const { fingerprint, basis, since, revoked } of keys) {
      await output.line(`  ${fingerprint}   ${basis}, ${since}${revoked ? paint('red', ', revoked') : ''}`)
    }
  }
  for (const what of [...trust.revoked.keys, ...trust.revoked.manifests]) await output.line(`${paint('red', 'revoked')}   ${what}`)
}

/** The person has to have seen the fingerprint, or to have brought it. */
async function agree(publisher: string, fingerprint: string, options: AddOptions, { output, signal }: Context): Promise<void> {
  if (options.fingerprint !== undefined) {
    if (options.fingerprint === fingerprint) return
    throw new CommandFailure(
      'CLI_FINGERPRINT',
      `the key has the fingerprint ${fingerprint}, not ${options.fingerprint}`,
      ExitCode.failed,
      'Nothing was changed. It is not the key that you expected.',
    )
  }
  if (options.yes) return
  if (!canAsk())
    throw usage(`the key has the fingerprint ${fingerprint}, and there is nobody to ask`, 'Compare it, and give it with --fingerprint.')
  await output.line(`The key of ${JSON.stringify(publisher)} has the fingerprint\n\n  ${fingerprint}\n`)
  if (await confirm('Is that the one the publisher shows elsewhere?', signal)) return
  throw new CommandFailure('CLI_REFUSED', 'the key is not trusted', ExitCode.failed, 'Nothing was changed.')
}

async function addKey(publisher: string, given: string, options: AddOptions, context: Context): Promise<void> {
  const { readPublicKey, trustKey } = await import('@plugwire/trust')
  const key = await readKeyArgument(given)
  const { fingerprint } = readPublicKey(key)
  await agree(publisher, fingerprint, options, context)
  const plugins = options.plugin
  await change(
    options,
    context,
    trust => trustKey(trust, { publisher, key, basis: 'configured', ...(plugins !== undefined && { plugins }) }),
    {
      says: `${publisher} is trusted for ${plugins?.join(', ') ?? 'every plugin'}: ${fingerprint}`,
      publisher,
      fingerprint,
    },
  )
}

async function acceptFirst(path: string, options: AcceptOptions, context: Context): Promise<void> {
  const { readTrustFile, trustFirstUse, trustPolicy, verify } = await import('@plugwire/trust')
  const manifest = await readDocument(path)
  const signatures = (await readSignatures(path, options.signature)).map(({ bytes }) => bytes)
  const verdictWith = (trust: Trust): ReturnType<typeof verify> =>
    verify({ manifest, signatures, policy: trustPolicy(trust, { firstUse: 'accept' }) })
  const verdict = await verdictWith(await readTrustFile(await fileOf(options)))
  const [signer] = verdict.signers
  const { name } = verdict.manifest
  if (verdict.basis !== 'first-use' || signer === undefined) {
    const says = `${name} is signed by ${signer?.fingerprint}, which is trusted already`
    return options.json ? context.output.document({ says, changed: false }) : context.output.line(says)
  }
  await agree(signer.publisher, signer.fingerprint, options, context)
  await change(options, context, async trust => trustFirstUse(trust, await verdictWith(trust)), {
    says: `${signer.publisher} is trusted for ${name} from its first use: ${signer.fingerprint}`,
    publisher: signer.publisher,
    fingerprint: signer.fingerprint,
  })
}

async function removeKey(publisher: string, fingerprint: string | undefined, options: TrustOptions, context: Context): Promise<void> {
  const { distrust } = await import('@plugwire/trust')
  const says = `${publisher} is no longer trusted${fingerprint === undefined ? '' : ` with ${fingerprint}`}`
  await change(
    options,
    context,
    trust => {
      const known = trust.publishers.get(publisher)
      if (known === undefined || (fingerprint !== undefined && !known.keys.has(fingerprint))) {
        throw new CommandFailure(
          'CLI_UNKNOWN',
          `${fingerprint ?? publisher} is not trusted anyway`,
          ExitCode.failed,
          'plugwire trust shows who is.',
        )
      }
      return distrust(trust, publisher, fingerprint)
    },
    { says, publisher },
  )
}

function sorted(items: readonly string[]): { readonly keys: readonly string[]; readonly manifests: readonly string[] } {
  for (const item of items) {
    if (!/^SHA256:[A-Za-z0-9+/]{43}$/.test(item) && !/^[0-9a-f]{128}$/.test(item) && !/^[a-z][a-z0-9]*:\S/.test(item)) {
      throw usage(`${item} is neither the fingerprint of a key nor the SHA-512 of a manifest`)
    }
  }
  return { keys: items.filter(item => item.includes(':')), manifests: items.filter(item => !item.includes(':')) }
}

async function revokeOne(what: string, options: TrustOptions, context: Context): Promise<void> {
  const { revoke } = await import('@plugwire/trust')
  const revoked = sorted([what])
  await change(options, context, trust => revoke(trust, revoked), { says: `${what} is refused from now on` })
}

async function importStatement(path: string, options: ImportOptions, context: Context): Promise<void> {
  const { documentFormat, REVOCATIONS_FORMAT, ROTATION_FORMAT, trustRevocations, trustRotation } = await import('@plugwire/trust')
  const document = await readDocument(path)
  const signed: SignedDocument = { document, signatures: (await readSignatures(path, options.signature)).map(({ bytes }) => bytes) }
  const format = documentFormat(document)
  if (format !== ROTATION_FORMAT && format !== REVOCATIONS_FORMAT)
    throw usage(`${path} is neither a rotation statement nor a revocation list`)
  const take = format === ROTATION_FORMAT ? trustRotation : trustRevocations
  await change(options, context, trust => take(trust, signed), {
    says:
      format === ROTATION_FORMAT
        ? `the new key of ${path} is trusted, the old one for nothing new`
        : `what ${path} names is refused from now on`,
  })
}

interface Change {
  readonly says: string
  readonly publisher?: string
  readonly fingerprint?: string
}

async function change(
  options: TrustOptions,
  { output }: Context,
  make: (trust: Trust) => Trust | Promise<Trust>,
  { says, ...facts }: Change,
): Promise<void> {
  const { updateTrustFile } = await import('@plugwire/trust')
  const file = await fileOf(options)
  let changed = false
  await updateTrustFile(async before => {
    const after = await make(before)
    changed = after !== before
    return after
  }, file)
  if (options.json) return output.document({ file, changed, says, ...facts })
  await output.line(changed ? says : 'That was known already.')
}

async function writeRotation(publisher: string, options: StatementOptions, context: Context): Promise<void> {
  const { encodeRotation } = await import('@plugwire/trust')
  const to = await readKeyArgument(options.to as string)
  const key = await openKey(options.key, options, context.signal)
  await writeSigned(encodeRotation({ publisher, from: key.publicKey.text, to, issued: now() }), key, options, context)
}

async function writeRevocations(publisher: string, options: StatementOptions, context: Context): Promise<void> {
  const { encodeRevocationList } = await import('@plugwire/trust')
  const sequence = Number(options.sequence)
  if (!/^\d{1,15}$/.test(options.sequence ?? '') || sequence < 1) throw usage(`--sequence ${options.sequence}: it is a whole number from 1`)
  const list = sorted(options.revoke ?? [])
  const key = await openKey(options.key, options, context.signal)
  await writeSigned(encodeRevocationList({ publisher, sequence, issued: now(), ...list }), key, options, context)
}

const now = (): string => new Date().toISOString().replace(/\.\d{3}Z$/, 'Z')

async function writeSigned(
  document: Uint8Array,
  key: import('@plugwire/trust').SecretKey,
  { out, json }: StatementOptions,
  { output }: Context,
): Promise<void> {
  const signature = `${out}${key.signatureEnding}`
  await write(out, document)
  await write(signature, key.sign(document))
  const { fingerprint } = key.publicKey
  if (json) return output.document({ file: out, signature, fingerprint })
  await output.line(`${paint('bold', out)} and ${paint('bold', signature)}   signed by ${fingerprint}: publish both`)
}
