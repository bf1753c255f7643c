/**
 * What the world around it does to a server under load, in a thread of its
 * own: GET /metrics again and again, and a VIP that moves, which swaps a zone.
 */
import { get } from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'
import { moveVip } from './vips.ts'

/** What the thread is given; `dir` holds the VIPs. */
export type ScrapeStart = {
  readonly url: string
  readonly everyMs: number
  readonly dir: string
}

const { url, everyMs, dir } = workerData as ScrapeStart
let scrapes = 0
let failed = 0
let turn = 0

const scrape = (): void => {
  const request = get(url, response => {
    response.resume()
    response.on('end', () => (response.statusCode === 200 ? scrapes++ : failed++))
  })
  request.on('error', () => failed++)
}
const disturbing = setInterval(() => {
  scrape()
  moveVip(dir, ++turn)
}, everyMs)
parentPort?.on('message', () => {
  clearInterval(disturbing)
  parentPort?.postMessage({ scrapes, failed })
  parentPort?.close()
})
