// The health service that every gRPC program knows. A go-plugin host asks it for `plugin` and takes any answer; ours looks at the status.
// Source: grpc/health/v1/health.proto, and grpc-go's health server for what each method answers.

import type { MethodDefinition } from '../transport/definition.ts'
import { GrpcError } from '../transport/grpc-error.ts'
import type { GrpcContext, GrpcServer } from '../transport/seam.ts'
import { decodeEmpty, type Empty, encodeEmpty } from './control-messages.ts'
import { FieldWriter, readFields } from './proto-fields.ts'

/** `grpc.health.v1.HealthCheckResponse.ServingStatus`. */
export const ServingStatus = { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } as const
export type ServingStatus = (typeof ServingStatus)[keyof typeof ServingStatus]

/** The service whose health stands for that of the plugin. */
export const PLUGIN_HEALTH_SERVICE = 'plugin'

/** `grpc.health.v1.HealthCheckRequest`. */
export interface HealthRequest {
  readonly service: string
}

/** `grpc.health.v1.HealthCheckResponse`. */
export interface HealthResponse {
  /** One of `ServingStatus`, or a number that came later. */
  readonly status: number
}

/** `grpc.health.v1.HealthListResponse`. */
export type HealthList = ReadonlyMap<string, HealthResponse>

const encodeRequest = ({ service }: HealthRequest): Buffer => new FieldWriter().text(1, service).finish()

function decodeRequest(bytes: Buffer): HealthRequest {
  let service = ''
  readFields(bytes, {
    bytes(field, value) {
      if (field === 1) service = value.toString()
    },
  })
  return { service }
}

const encodeResponse = ({ status }: HealthResponse): Buffer => new FieldWriter().varint(1, status).finish()

function decodeResponse(bytes: Buffer): HealthResponse {
  let status: number = ServingStatus.UNKNOWN
  readFields(bytes, {
    varint(field, value) {
      if (field === 1) status = value
    },
  })
  return { status }
}

function encodeList(list: HealthList): Buffer {
  const fields = new FieldWriter()
  for (const [service, response] of list)
    fields.message(1, new FieldWriter().text(1, service).message(2, encodeResponse(response)).finish())
  return fields.finish()
}

function decodeList(bytes: Buffer): HealthList {
  const list = new Map<string, HealthResponse>()
  readFields(bytes, {
    bytes(field, entry) {
      if (field !== 1) return
      let service = ''
      let response: HealthResponse = { status: ServingStatus.UNKNOWN }
      readFields(entry, {
        bytes(part, value) {
          if (part === 1) service = value.toString()
          else if (part === 2) response = decodeResponse(value)
        },
      })
      list.set(service, response)
    },
  })
  return list
}

export const healthCheck: MethodDefinition<HealthRequest, HealthResponse> = {
  path: '/grpc.health.v1.Health/Check',
  requestStream: false,
  responseStream: false,
  requestSerialize: encodeRequest,
  requestDeserialize: decodeRequest,
  responseSerialize: encodeResponse,
  responseDeserialize: decodeResponse,
}

export const healthWatch: MethodDefinition<HealthRequest, HealthResponse> = {
  ...healthCheck,
  path: '/grpc.health.v1.Health/Watch',
  responseStream: true,
}

export const healthList: MethodDefinition<Empty, HealthList> = {
  path: '/grpc.health.v1.Health/List',
  requestStream: false,
  responseStream: false,
  requestSerialize: encodeEmpty,
  requestDeserialize: decodeEmpty,
  responseSerialize: encodeList,
  responseDeserialize: decodeList,
}

/** How the services of a plugin are. Everything serves until somebody says otherwise. */
export class Health {
  readonly #states = new Map<string, ServingStatus>([
    ['', ServingStatus.SERVING],
    [PLUGIN_HEALTH_SERVICE, ServingStatus.SERVING],
  ])
  readonly #watchers = new Set<() => void>()

  /** @param service A full name; `plugin` is the plugin as a whole, as hosts ask for it. */
  set(service: string, serving: boolean): void {
    this.#states.set(service, serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING)
    for (const changed of this.#watchers) changed()
  }

  addTo(server: GrpcServer): void {
    server.add(
      { Check: healthCheck, Watch: healthWatch, List: healthList },
      {
        Check: ({ service }: HealthRequest): HealthResponse => {
          const status = this.#states.get(service)
          if (status === undefined) throw new GrpcError('NOT_FOUND', 'unknown service')
          return { status }
        },
        Watch: ({ service }: HealthRequest, { signal }: GrpcContext) => this.#watch(service, signal),
        List: (): HealthList => new Map([...this.#states].map(([service, status]) => [service, { status }])),
      },
    )
  }

  async *#watch(service: string, signal: AbortSignal): AsyncGenerator<HealthResponse, void, undefined> {
    let said: number | undefined
    let wake = (): void => {}
    const changed = (): void => wake()
    this.#watchers.add(changed)
    signal.addEventListener('abort', changed)
    try {
      while (!signal.aborted) {
        const status = this.#states.get(service) ?? ServingStatus.SERVICE_UNKNOWN
        if (status !== said) yield { status: (said = status) }
        else await new Promise<void>(resolve => (wake = resolve))
      }
    } finally {
      this.#watchers.delete(changed)
      signal.removeEventListener('abort', changed)
    }
  }
}
