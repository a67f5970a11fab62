// Memory that is a file, and that nobody can change any more, not even its owner or root: a sealed memfd of Linux. Node cannot make one by itself;
// this needs node:ffi (Node 26.1 and later) or the package koffi, whichever is there. Source: memfd_create(2), fcntl(2).

import * as fs from 'node:fs'
import type { ExpectedDigest } from './digest.ts'
import { type ByteSource, copy, type Place, Unfit } from './place.ts'

const MFD_CLOEXEC = 1
const MFD_ALLOW_SEALING = 2
const MFD_EXEC = 0x10
const F_ADD_SEALS = 1033
const F_GET_SEALS = 1034
/** F_SEAL_SEAL, SHRINK, GROW and WRITE. */
const ALL_SEALS = 0xf

interface System {
  memfdCreate(name: string, flags: number): number
  fcntl(descriptor: number, command: number, argument: number): number
}

let system: Promise<System> | undefined

/** @throws Unfit where there is no such memory. */
export async function sealedMemory(source: ByteSource, expected: ExpectedDigest): Promise<Place> {
  if (process.platform !== 'linux') throw new Unfit(`${process.platform} has no memory that can be sealed`)
  system ??= loadSystem()
  const { memfdCreate, fcntl } = await system
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING
  // Kernels before 6.3 do not know MFD_EXEC; later ones may insist on it.
  let descriptor = memfdCreate('plugin', flags | MFD_EXEC)
  if (descriptor < 0) descriptor = memfdCreate('plugin', flags)
  if (descriptor < 0) throw new Unfit('the system gives no memory that can be started (vm.memfd_noexec?)')
  let open = true
  const close = (): void => {
    if (open) fs.closeSync(descriptor)
    open = false
  }
  try {
    const bytes = await copy(source, descriptor, expected)
    fs.fchmodSync(descriptor, 0o500)
    fcntl(descriptor, F_ADD_SEALS, ALL_SEALS)
    if ((fcntl(descriptor, F_GET_SEALS, 0) & ALL_SEALS) !== ALL_SEALS) throw new Unfit('the system did not seal the memory')
    // Between the copy and the seals this user could have written to it through /proc.
    await verifyAgain(descriptor, expected, source.name)
    return { rung: 'sealed-memory', bytes, descriptor, path: undefined, close }
  } catch (cause) {
    close()
    throw cause
  }
}

async function verifyAgain(descriptor: number, expected: ExpectedDigest, name: string): Promise<void> {
  const hash = expected.hash()
  const piece = Buffer.allocUnsafe(1024 * 1024)
  for (let position = 0; ; ) {
    const read = fs.readSync(descriptor, piece, 0, piece.length, position)
    if (read === 0) break
    hash.update(piece.subarray(0, read))
    position += read
  }
  expected.check(hash, name)
}

async function loadSystem(): Promise<System> {
  return (await fromNode()) ?? (await fromKoffi()) ?? unfit()
}

function unfit(): never {
  throw new Unfit('sealing needs Node 26.1 or later, or the package koffi')
}

async function fromNode(): Promise<System | undefined> {
  const ffi = (process.getBuiltinModule as (name: string) => unknown)('node:ffi') as
    | { dlopen(path: null, of: object): { functions: { memfd_create: System['memfdCreate']; fcntl: System['fcntl'] } } }
    | undefined
  if (ffi === undefined) return undefined
  // The words for a signature changed between releases of Node 26.
  const signature = (given: readonly string[], result: string): object => ({ arguments: given, parameters: given, return: result, result })
  try {
    const { functions } = ffi.dlopen(null, {
      memfd_create: signature(['string', 'u32'], 'i32'),
      fcntl: signature(['i32', 'i32', 'i32'], 'i32'),
    })
    return { memfdCreate: functions.memfd_create, fcntl: functions.fcntl }
  } catch {
    return undefined // Switched off, or forbidden by --permission.
  }
}

async function fromKoffi(): Promise<System | undefined> {
  try {
    // By a name that bundlers do not follow: it is there or it is not.
    const name = 'koffi'
    const { default: koffi } = (await import(name)) as {
      default: { load(path: null): { func(declaration: string): (...given: (string | number)[]) => number } }
    }
    const library = koffi.load(null)
    const create = library.func('int memfd_create(const char *name, unsigned int flags)')
    const control = library.func('int fcntl(int fd, int cmd, int arg)')
    return { memfdCreate: (label, flags) => create(label, flags), fcntl: (fd, command, argument) => control(fd, command, argument) }
  } catch {
    return undefined
  }
}
