// What a provider tells those who run Terraform: errors and warnings, each with the attribute it is about.

import { CtyError, type CtyPath, type CtyType } from './cty/type.ts'

export interface Diagnostic {
  readonly severity: 'error' | 'warning'
  /** One line. */
  readonly summary: string
  /** What happened and what to do, in sentences. */
  readonly detail: string
  /** The attribute it is about: names of attributes and blocks, keys of maps, numbers of elements. Terraform shows that line. */
  readonly path: CtyPath | undefined
}

export interface DiagnosticOptions {
  readonly detail?: string
  readonly path?: CtyPath
}

/** Thrown by a resource, it becomes one error with its attribute. Any other error is shown with its stack, as a fault of the provider. */
export class ProviderError extends Error {
  readonly detail: string
  readonly path: CtyPath | undefined

  constructor(summary: string, { detail = '', path, cause }: DiagnosticOptions & ErrorOptions = {}) {
    super(summary, cause === undefined ? {} : { cause })
    this.detail = detail
    this.path = path
  }

  static {
    Object.defineProperty(ProviderError.prototype, 'name', { value: 'ProviderError' })
  }
}

/** Collects diagnostics in the order they were made. */
export class Diagnostics {
  readonly #list: Diagnostic[] = []

  get list(): readonly Diagnostic[] {
    return this.#list
  }

  get failed(): boolean {
    return this.#list.some(({ severity }) => severity === 'error')
  }

  error(summary: string, { detail = '', path }: DiagnosticOptions = {}): void {
    this.#list.push({ severity: 'error', summary, detail, path })
  }

  warn(summary: string, { detail = '', path }: DiagnosticOptions = {}): void {
    this.#list.push({ severity: 'warning', summary, detail, path })
  }

  /** @param doing For errors that say nothing for people: what was going on. */
  caught(error: unknown, doing: string): void {
    if (error instanceof ProviderError) this.error(error.message, { detail: error.detail, ...(error.path && { path: error.path }) })
    else if (error instanceof CtyError) this.error('Invalid value', { detail: error.message, path: error.path })
    else {
      const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.error(`The provider failed while ${doing}`, { detail: `This is a fault of the provider, not of the configuration.\n\n${stack}` })
    }
  }
}

/** One step of an attribute path as Terraform reads it. */
export type PathStep = { readonly attributeName: string } | { readonly elementKeyString: string } | { readonly elementKeyInt: number }

/**
 * A path as Terraform reads it: which steps are attributes and which are keys of maps, the type says. It ends before the first step that leads
 * nowhere, and before the elements of a set, which have no names.
 */
export function pathSteps(path: CtyPath, type: CtyType): PathStep[] {
  const steps: PathStep[] = []
  let at: CtyType | undefined = type
  for (const step of path) {
    if (at === undefined || typeof at === 'string' || at[0] === 'set') break
    const [kind, inner]: readonly [string, unknown] = at
    if (kind === 'object') {
      const attributes = inner as { readonly [name: string]: CtyType }
      if (!Object.hasOwn(attributes, step)) break
      steps.push({ attributeName: String(step) })
      at = attributes[step]
    } else if (kind === 'map') {
      steps.push({ elementKeyString: String(step) })
      at = inner as CtyType
    } else {
      if (typeof step !== 'number') break
      steps.push({ elementKeyInt: step })
      at = kind === 'tuple' ? (inner as readonly CtyType[])[step] : (inner as CtyType)
    }
  }
  return steps
}
