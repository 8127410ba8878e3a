/** Stands in for `xmlbuilder2`, which vtk.js imports for writers this page never uses. */
export function create(): never {
  throw new Error('XML writing is not part of this page');
}
