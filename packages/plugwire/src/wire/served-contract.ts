// What a plugin says of its contract when it is asked without being launched: one line of JSON. Pure: knows neither who asks nor how.

/** A contract as data, as the plugin that serves it tells it. */
export interface ServedContract {
  readonly name: string
  /** Which environment variable with which value launches the plugin. */
  readonly cookie: { readonly key: string; readonly value: string }
  /** In ascending order, at least one. */
  readonly versions: readonly { readonly version: number; readonly kinds: readonly string[] }[]
  /** E.g. `node 20.20.2`. */
  readonly runtime: string
  /** The plugin's release of plugwire. */
  readonly plugwire: string
}

/** How the line begins; other lines of stdout are the plugin's own output. */
const MARK = '{"plugwire":'

/** Encodes the line, without its newline: `{"plugwire":"0.1.0","name":"kv","cookie":{…},"versions":[{"version":1,"kinds":["store"]}],"runtime":"…"}`. */
export function encodeServedContract({ name, cookie, versions, runtime, plugwire }: ServedContract): string {
  return JSON.stringify({ plugwire, name, cookie: { key: cookie.key, value: cookie.value }, versions, runtime })
}

/** Finds the line in a plugin's stdout and reads it. Undefined when there is none, or none that can be used. Members that are not known are ignored. */
export function findServedContract(stdout: string): ServedContract | undefined {
  const line = stdout.split('\n').findLast(candidate => candidate.startsWith(MARK))
  if (line === undefined) return undefined
  let told: unknown
  try {
    told = JSON.parse(line)
  } catch {
    return undefined // Cut off, or output that happens to begin alike.
  }
  const { name, cookie, versions, runtime, plugwire } = told as Record<string, unknown>
  const { key, value } = (cookie ?? {}) as Record<string, unknown>
  if (!isText(name) || !isText(key) || !isText(value) || !Array.isArray(versions) || versions.length === 0) return undefined
  const read = versions.map(readVersion)
  if (read.includes(undefined)) return undefined
  return {
    name,
    cookie: { key, value },
    versions: (read as ServedContract['versions'][number][]).sort((a, b) => a.version - b.version),
    runtime: isText(runtime) ? runtime : 'unknown',
    plugwire: isText(plugwire) ? plugwire : 'unknown',
  }
}

function readVersion(told: unknown): ServedContract['versions'][number] | undefined {
  const { version, kinds } = (told ?? {}) as Record<string, unknown>
  const known = Number.isSafeInteger(version) && Array.isArray(kinds) && kinds.every(isText)
  return known ? { version: version as number, kinds: kinds as string[] } : undefined
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
