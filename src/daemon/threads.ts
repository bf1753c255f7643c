/**
 * The daemon's other threads, started before there is a command line to read:
 * they load their code meanwhile. Neither keeps the process alive before it
 * is told what to do.
 */
import type { Worker } from 'node:worker_threads'
import { configThread } from '../config/aside.ts'
import { DataThread } from './data-thread-host.ts'

export type Threads = {
  /** Reads the configuration (config/aside.ts). */
  readonly config: Worker
  /** Answers. */
  readonly thread: DataThread
}

export const startThreads = (): Threads => ({ config: configThread(), thread: new DataThread() })
