import { parentPort } from 'node:worker_threads'
import { answer, type Call } from './handlers.ts'

parentPort?.on('message', (call: Call) => parentPort?.postMessage(answer(call)))
