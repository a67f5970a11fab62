#!/usr/bin/env node
// The command `plugwire`: reads the command line, runs one command, ends with its exit code.

import { Command, CommanderError } from 'commander'
import { addCall } from './commands/call.ts'
import { addConformance } from './commands/conformance.ts'
import { addDiscover } from './commands/discover.ts'
import { addDoctor } from './commands/doctor.ts'
import { addInspect } from './commands/inspect.ts'
import { addInstall, addUpdate } from './commands/install.ts'
import { addGc, addList, addOutdated, addWhy } from './commands/installed.ts'
import { addKeygen } from './commands/keygen.ts'
import { addNew } from './commands/new.ts'
import { addPack } from './commands/pack.ts'
import { addRemove } from './commands/remove.ts'
import { addSign } from './commands/sign.ts'
import { addTrust } from './commands/trust.ts'
import { addVerify } from './commands/verify.ts'
import { Context } from './context.ts'
import { CommandFailure, ExitCode, printFailure } from './failure.ts'
import { VERSION } from './version.ts'

const wantsJson = process.argv.includes('--json')
const context = new Context()
const program = new Command('plugwire')
  .description('Look into plugins, call them, find out why they do not start, make new ones, sign, verify, publish and install them.')
  .version(VERSION, '-V, --version', 'print the version')
  .helpOption('-h, --help', 'print this')
  .helpCommand('help [command]', 'print the help of a command')
  // So that `plugwire inspect --version 2` is about the contract's version.
  .enablePositionalOptions()
  .showSuggestionAfterError()
  .configureOutput({ writeErr: text => void (wantsJson || process.stderr.write(text)) })
  .exitOverride()
  .addHelpText(
    'after',
    `
Examples:
  plugwire new my-plugin                                   a contract, a plugin, a host and a test that run
  plugwire inspect ./plugin.js                             handshake, versions, kinds, methods, timings
  plugwire call ./plugin.js greeter.greet '"world"'        one call from the shell
  plugwire doctor ./plugin                                 why does it not start?
  plugwire conformance python3 plugin.py                   does it speak the protocol as it is written?
  plugwire keygen; plugwire sign plugin.json --key plugwire.key
  plugwire verify plugin.json --plugin @acme/aws           is it signed by somebody you trust?
  plugwire pack dist/plugin.js --publisher acme            a release for any web server
  plugwire install npm:@acme/aws@^2                        fetched, verified, recorded in plugwire.lock
  plugwire call --installed @acme/aws store.get '"key"'    started from exactly the verified bytes

Exit codes:
  ${ExitCode.ok}    done
  ${ExitCode.failed}    the plugin, or the call, failed; or what was to be verified is refused
  ${ExitCode.usage}    the command line cannot be understood
  ${ExitCode.interrupted}  interrupted by Ctrl-C

With --json results go to stdout as JSON and errors to stderr as {"error": …}. NO_COLOR is honoured. More: docs/cli.md`,
  )

addInspect(program, context)
addCall(program, context)
addDoctor(program, context)
addConformance(program, context)
addNew(program, context)
addKeygen(program, context)
addSign(program, context)
addVerify(program, context)
addTrust(program, context)
addPack(program, context)
addInstall(program, context)
addUpdate(program, context)
addRemove(program, context)
addOutdated(program, context)
addList(program, context)
addWhy(program, context)
addGc(program, context)
addDiscover(program, context)

// `--help | head`: nothing is lost when the reader leaves. A command that runs hears of it through its output.
process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
  if (cause.code !== 'EPIPE') throw cause
})

try {
  await program.parseAsync()
  process.exitCode = context.exitCode
} catch (failure) {
  process.exitCode = exitCodeOfParsing(failure)
}

function exitCodeOfParsing(failure: unknown): ExitCode {
  if (failure instanceof CommanderError) {
    // Help and the version were asked for; everything else that commander throws it has said on stderr.
    if (failure.exitCode === 0) return ExitCode.ok
    if (wantsJson)
      printFailure(new CommandFailure('CLI_USAGE', failure.message.replace(/^error: /, ''), ExitCode.usage), { json: true, debug: false })
    return ExitCode.usage
  }
  printFailure(failure, { json: wantsJson, debug: process.argv.includes('--debug') })
  return failure instanceof CommandFailure ? failure.exitCode : ExitCode.failed
}
