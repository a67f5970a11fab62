// What the first bytes of a file say about who can run it: ELF, Mach-O, PE, a script with `#!`. For texts that tell why a plugin does not start.
// Source of the numbers: ELF e_machine, mach/machine.h cputype, PE COFF Machine.

import * as fs from 'node:fs'

export type Format =
  | {
      readonly kind: 'elf' | 'mach-o' | 'pe' /** In Node's words, several for a universal binary; empty when unknown. */
      readonly machines: readonly string[]
    }
  | { readonly kind: 'script'; readonly interpreter: string; readonly line: string }
  | { readonly kind: 'text' | 'unknown' }

const elfMachines: ReadonlyMap<number, string> = new Map([
  [3, 'ia32'],
  [8, 'mips'],
  [20, 'ppc'],
  [21, 'ppc64'],
  [22, 's390x'],
  [40, 'arm'],
  [62, 'x64'],
  [183, 'arm64'],
  [243, 'riscv64'],
  [258, 'loong64'],
])
const machMachines: ReadonlyMap<number, string> = new Map([
  [7, 'ia32'],
  [0x0100_0007, 'x64'],
  [12, 'arm'],
  [0x0100_000c, 'arm64'],
])
const peMachines: ReadonlyMap<number, string> = new Map([
  [0x14c, 'ia32'],
  [0x1c4, 'arm'],
  [0x8664, 'x64'],
  [0xaa64, 'arm64'],
])
/** Other machines that a machine runs by itself. */
const alsoRuns: ReadonlyMap<string, readonly string[]> = new Map([
  ['x64', ['ia32']],
  ['arm64', ['arm']],
])

/** Reads the format of a file. Undefined when the file cannot be read, which says nothing about whether it can be executed. */
export function formatOf(file: string): Format | undefined {
  const head = readHead(file)
  if (head === undefined) return undefined
  if (head.length === 0) return { kind: 'text' }
  if (head[0] === 0x23 && head[1] === 0x21) {
    const line = head.toString('utf8').split('\n', 1)[0] ?? ''
    return { kind: 'script', interpreter: line.slice(2).trim().split(/\s+/)[0] ?? '', line }
  }
  if (head.length >= 20 && head.readUInt32BE(0) === 0x7f45_4c46)
    return { kind: 'elf', machines: known(elfMachines, head[5] === 2 ? head.readUInt16BE(18) : head.readUInt16LE(18)) }
  if (head.length >= 8) {
    const magic = head.readUInt32BE(0)
    if (magic === 0xcffa_edfe || magic === 0xcefa_edfe) return { kind: 'mach-o', machines: known(machMachines, head.readUInt32LE(4)) }
    // A universal binary; a Java class file begins alike but counts far more "architectures".
    if (magic === 0xcafe_babe && head.readUInt32BE(4) < 16) return { kind: 'mach-o', machines: universal(head) }
  }
  if (head[0] === 0x4d && head[1] === 0x5a) return { kind: 'pe', machines: peMachine(head) }
  return { kind: head.includes(0) ? 'unknown' : 'text' }
}

/** Names what the file was made for when this machine cannot run it; undefined when it can, or when that is not certain. */
export function foreignMachine(format: Format): string | undefined {
  if (format.kind !== 'elf' && format.kind !== 'mach-o' && format.kind !== 'pe') return undefined
  const native = process.platform === 'win32' ? 'pe' : process.platform === 'darwin' ? 'mach-o' : 'elf'
  if (format.kind === native) {
    const runs = [
      process.arch,
      ...(alsoRuns.get(process.arch) ?? []),
      ...(process.platform === 'darwin' || process.platform === 'win32' ? ['x64'] : []),
    ]
    if (format.machines.length === 0 || format.machines.some(machine => runs.includes(machine))) return undefined
  }
  if (hasForeignInterpreters()) return undefined
  return `${format.kind === 'elf' ? 'ELF' : format.kind === 'pe' ? 'Windows' : 'macOS'} ${format.machines.join(', ') || 'of an unknown machine'}`
}

/** One sentence on why the system may refuse to start a file that is there and may be executed. */
export function startRemedy(file: string): string {
  const format = formatOf(file)
  if (format === undefined) return 'Check its permissions.'
  const foreign = foreignMachine(format)
  if (foreign !== undefined) return `It is a program for ${foreign}; this host runs on ${process.platform} ${process.arch}.`
  if (format.kind === 'script') {
    if (format.line.endsWith('\r')) return 'Its first line ends in a carriage return; save the file with Unix line ends.'
    if (!fs.existsSync(format.interpreter)) return `Its first line asks for ${format.interpreter}, which does not exist here.`
    return `Its interpreter is ${format.interpreter}; check that it can be executed.`
  }
  if (format.kind === 'elf') return 'A shared library or its dynamic loader may be missing; ldd tells which.'
  return 'Check that it can be started by hand.'
}

function readHead(file: string): Buffer | undefined {
  let descriptor: number | undefined
  try {
    descriptor = fs.openSync(file, 'r')
    const head = Buffer.alloc(512)
    return head.subarray(0, fs.readSync(descriptor, head, 0, head.length, 0))
  } catch {
    return undefined // A file may well be executable and not readable.
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor)
  }
}

const known = (names: ReadonlyMap<number, string>, machine: number): readonly string[] => {
  const name = names.get(machine)
  return name === undefined ? [] : [name]
}

function universal(head: Buffer): string[] {
  const machines: string[] = []
  for (let index = 0, count = head.readUInt32BE(4); index < count && 8 + index * 20 + 4 <= head.length; index++) {
    machines.push(...known(machMachines, head.readUInt32BE(8 + index * 20)))
  }
  return machines
}

function peMachine(head: Buffer): readonly string[] {
  const offset = head.length >= 64 ? head.readUInt32LE(0x3c) : head.length
  return offset + 6 <= head.length ? known(peMachines, head.readUInt16LE(offset + 4)) : []
}

/** Linux may have been taught to run foreign programs (qemu-user, Wine, Java); then nothing is certain. */
function hasForeignInterpreters(): boolean {
  try {
    return fs.readdirSync('/proc/sys/fs/binfmt_misc').some(entry => entry !== 'register' && entry !== 'status')
  } catch {
    return false
  }
}
