/**
 * Files that the status page loads: uPlot and our own script. Read from disk at the first request and kept in
 * memory.
 */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { built } from '../../base/built.ts'
import type { Route } from '../../http/route.ts'

const SCRIPT = 'text/javascript; charset=utf-8'
const SHEET = 'text/css; charset=utf-8'

const vendor = (file: string): string =>
  createRequire(import.meta.url).resolve(`uplot/dist/${file}`)

/** Path on the server → the file and its type. */
const FILES: Readonly<Record<string, readonly [where: () => string | URL, type: string]>> = {
  '/page/uplot.js': [() => vendor('uPlot.iife.min.js'), SCRIPT],
  '/page/uplot.css': [() => vendor('uPlot.min.css'), SHEET],
  '/page/live.js': [() => built('ops/browser/live.js'), SCRIPT],
  '/page/plots.js': [() => built('ops/browser/plots.js'), SCRIPT],
}

/** Routes for the files. A missing file gives 404, and the page works without it. */
export const assetRoutes = (): Route[] =>
  Object.entries(FILES).map(([path, [where, type]]) => {
    let text: Promise<string> | undefined
    return {
      method: 'GET',
      path,
      handle: async () => {
        try {
          return {
            text: await (text ??= readFile(where(), 'utf8')),
            headers: { 'content-type': type },
          }
        } catch {
          text = undefined
          return { status: 404, json: { error: 'this build came without the file' } }
        }
      },
    }
  })
