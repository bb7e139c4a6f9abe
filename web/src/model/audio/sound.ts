/** Sounds in the browser: decoded for the waveform, and written as wav where the server could not read them or has no need to. */
import { readDataUrl } from "~/shared/files";

/** What speech models listen to. */
const RATE_HZ = 16_000;
/** What the server's decoder reads. Recordings name their codec (`audio/ogg;codecs=opus`) and are written anew, whatever holds them. */
const READABLE = /^audio\/(x-)?(wav|wave|vnd\.wave|flac|ogg|mpeg|mp3)$/;

export interface Sound {
  name: string;
  /** A blob: URL for the player. */
  url: string;
  /** A data URL for the server. */
  data: string;
  seconds: number;
  peaks: number[];
}

const PEAKS = 600;

export async function soundOf(file: Blob, name: string): Promise<Sound> {
  const context = new OfflineAudioContext(1, 1, RATE_HZ);
  const decoded = await context.decodeAudioData(await file.arrayBuffer());
  // The player gets the same: a recording says nowhere how long it is.
  const sound = READABLE.test(file.type) ? file : await asWav(decoded);
  return { name, url: URL.createObjectURL(sound), data: await readDataUrl(sound), seconds: decoded.duration, peaks: peaksOf(decoded.getChannelData(0)) };
}

export function peaksOf(samples: Float32Array): number[] {
  const size = Math.max(1, Math.floor(samples.length / PEAKS));
  const peaks = Array.from({ length: Math.min(PEAKS, samples.length) }, (_, i) => {
    let peak = 0;
    for (let at = i * size; at < (i + 1) * size; at++) peak = Math.max(peak, Math.abs(samples[at] ?? 0));
    return peak;
  });
  const loudest = Math.max(...peaks, 1e-6);
  return peaks.map((peak) => peak / loudest);
}

/** Mono, 16 bit, 16 kHz. */
async function asWav(sound: AudioBuffer): Promise<Blob> {
  const context = new OfflineAudioContext(1, Math.ceil(sound.duration * RATE_HZ), RATE_HZ);
  const source = context.createBufferSource();
  source.buffer = sound;
  source.connect(context.destination);
  source.start();
  const samples = (await context.startRendering()).getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const text = (at: number, letters: string): void => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + samples.length * 2, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE_HZ, true);
  view.setUint32(28, RATE_HZ * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, samples.length * 2, true);
  samples.forEach((value, i) => view.setInt16(44 + i * 2, Math.max(-1, Math.min(1, value)) * 0x7fff, true));
  return new Blob([view], { type: "audio/wav" });
}
