import { describe, expect, it } from 'vitest';
import { ViewerFailure } from './failure.ts';
import { ProgressiveImages } from './progressive-images.ts';

interface Picture {
  of: string;
}

/** A relay that answers when told to, and a shelf that is filled as the library fills its cache. */
function setUp() {
  const asked: string[] = [];
  const answers = new Map<string, { resolve(picture: Picture): void; reject(error: unknown): void }>();
  const ask = (what: string) => {
    asked.push(what);
    return new Promise<Picture>((resolve, reject) => answers.set(what, { resolve, reject }));
  };
  const shelf = new Map<string, Picture>();
  const images = new ProgressiveImages<Picture>(
    { preview: (id) => ask(`preview ${id}`), original: (id) => ask(`original ${id}`) },
    {
      get: (id) => shelf.get(id),
      replace: async (id, picture) => {
        shelf.set(id, picture);
      },
    },
  );
  const arrive = (what: string) => answers.get(what)?.resolve({ of: what });
  const fail = (what: string, code: 'decode_failed' | 'not_arrived' | 'network') => answers.get(what)?.reject(new ViewerFailure(code));
  const load = async (id: string) => shelf.set(id, await images.load(id));
  return { images, shelf, asked, arrive, fail, load };
}

describe('the picture of an image', () => {
  it('is a preview until its original is verified, and is known as one', async () => {
    const { images, shelf, arrive, load } = setUp();
    images.raise('a', 'preview');
    const loading = load('a');
    arrive('preview a');
    await loading;
    const preview = shelf.get('a');
    expect(images.isPreview(preview)).toBe(true);
    expect(images.canSharpen('a')).toBe(false);
    expect(await images.sharpen('a')).toBe(false);

    expect(images.raise('a', 'complete')).toBe(true);
    expect(images.canSharpen('a')).toBe(true);
    const sharpening = images.sharpen('a');
    expect(shelf.get('a')).toBe(preview);
    arrive('original a');
    expect(await sharpening).toBe(true);
    expect(shelf.get('a')).toEqual({ of: 'original a' });
    expect(images.isPreview(shelf.get('a'))).toBe(false);
    expect(images.canSharpen('a')).toBe(false);
  });

  it('is the original at once when the relay has all of it', async () => {
    const { images, shelf, asked, arrive, load } = setUp();
    images.raise('a', 'complete');
    const loading = load('a');
    arrive('original a');
    await loading;
    expect(images.isPreview(shelf.get('a'))).toBe(false);
    expect(asked).toEqual(['original a']);
  });

  it('is asked for once, however many want it sharp', async () => {
    const { images, asked, arrive, load } = setUp();
    images.raise('a', 'preview');
    const loading = load('a');
    arrive('preview a');
    await loading;
    images.raise('a', 'complete');
    const both = Promise.all([images.sharpen('a'), images.sharpen('a')]);
    arrive('original a');
    expect(await both).toEqual([true, true]);
    expect(asked).toEqual(['preview a', 'original a']);
  });

  it('stays a preview when the original cannot be had, and can be tried again', async () => {
    const { images, shelf, arrive, fail, load } = setUp();
    images.raise('a', 'preview');
    const loading = load('a');
    arrive('preview a');
    await loading;
    images.raise('a', 'complete');
    const failing = images.sharpen('a');
    fail('original a', 'network');
    await expect(failing).rejects.toThrow('network');
    expect(images.isPreview(shelf.get('a'))).toBe(true);
    expect(images.canSharpen('a')).toBe(true);
  });

  it('is never put back where it was dropped from memory', async () => {
    const { images, shelf, arrive, load } = setUp();
    images.raise('a', 'preview');
    const loading = load('a');
    arrive('preview a');
    await loading;
    images.raise('a', 'complete');
    const sharpening = images.sharpen('a');
    shelf.delete('a');
    arrive('original a');
    expect(await sharpening).toBe(false);
    expect(shelf.has('a')).toBe(false);
  });

  it('waits for the original when there is no preview, or none that decodes', async () => {
    for (const code of ['decode_failed', 'not_arrived'] as const) {
      const { images, fail, load } = setUp();
      images.raise('a', 'preview');
      const loading = load('a');
      fail('preview a', code);
      await expect(loading).rejects.toThrow('not_arrived');
      expect(images.stateOf('a')).toBe('listed');
      images.raise('a', 'complete');
      expect(images.stateOf('a')).toBe('complete');
    }
  });

  it('is tried again after the line broke', async () => {
    const { images, fail, load } = setUp();
    images.raise('a', 'preview');
    const loading = load('a');
    fail('preview a', 'network');
    await expect(loading).rejects.toThrow('network');
    expect(images.stateOf('a')).toBe('preview');
  });

  it('is refused in words while only its head is there', async () => {
    const { images, asked, load } = setUp();
    images.raise('a', 'listed');
    await expect(load('a')).rejects.toThrow('not_arrived');
    expect(asked).toEqual([]);
  });

  it('never goes back to less', () => {
    const { images } = setUp();
    expect(images.raise('a', 'complete')).toBe(true);
    expect(images.raise('a', 'preview')).toBe(false);
    expect(images.raise('a', 'complete')).toBe(false);
    expect(images.stateOf('a')).toBe('complete');
  });
});
