import { type MessagePort, parentPort } from 'node:worker_threads'
import { expose } from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { handlers } from './handlers.ts'

expose(handlers, nodeEndpoint(parentPort as MessagePort))
