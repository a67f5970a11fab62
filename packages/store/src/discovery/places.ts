// In which directories plugins are looked for, and in which order. Reads nothing.

import { realpathSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { userDataDirectory } from '../content/places.ts'

/**
 * `application`: a directory that the application names. `user`: `<application>/plugins` among the user's data. `program`: where the program itself
 * lies. `working`: the current directory, whose content may be a stranger's: listed, and run only when the user trusts it.
 */
export type PlaceKind = 'application' | 'user' | 'program' | 'working'

export interface Place {
  readonly kind: PlaceKind
  /** Absolute. */
  readonly directory: string
}

export interface PlacesOptions {
  /** Name of the application, for the user's directory. */
  readonly application: string
  /** Directories of the application's choice; they come first. */
  readonly directories?: readonly string[]
  /** Which places beside those count, in their order. Default `['user', 'program', 'working']`. */
  readonly places?: readonly Exclude<PlaceKind, 'application'>[]
  /** Default `process.cwd()`. */
  readonly workingDirectory?: string
  /** The program. Default `process.argv[1]`, or the executable of a program that is one file. */
  readonly program?: string
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** Earlier ones win. A directory that is several places at once counts as the first of them, but never as less strict than `working`. */
export function placesOf(options: PlacesOptions): Place[] {
  const {
    application,
    directories = [],
    places = ['user', 'program', 'working'],
    workingDirectory = process.cwd(),
    env = process.env,
  } = options
  if (!/^[A-Za-z0-9][\w.-]*$/.test(application)) throw new TypeError(`${JSON.stringify(application)} is no name for a directory`)
  const found: Place[] = directories.map(directory => ({ kind: 'application', directory: resolve(workingDirectory, directory) }))
  for (const kind of places) {
    if (kind === 'user') found.push({ kind, directory: join(userDataDirectory(env), application, 'plugins') })
    else if (kind === 'program') found.push({ kind, directory: dirname(real(options.program ?? process.argv[1] ?? process.execPath)) })
    else found.push({ kind, directory: resolve(workingDirectory) })
  }
  return found.filter(({ directory }, i) => found.findIndex(other => other.directory === directory) === i)
}

function real(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return resolve(path)
  }
}
