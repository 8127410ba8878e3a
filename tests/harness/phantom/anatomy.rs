//! What is where in the phantom's head, in Hounsfield units.
//!
//! Patient coordinates in mm (PS3.3 C.7.6.2.1.1): x to the patient's left, y to the back, z to the top, zero at the
//! centre of the skull. Shapes are ellipsoids and sine fields: enough to read like a head CT, small enough to check.

use std::ops::Range;
use std::thread;

use super::{MATRIX, PIXEL_SPACING_MM, SLICE_SPACING_MM};

/// z of the lowest slice in mm.
const Z_LOWEST_MM: f32 = -64.0;
/// Stored outside the round field of view, named in Pixel Padding Value.
pub(super) const PADDING: i16 = -2000;
const FIELD_RADIUS_MM: f32 = 115.0;

const AIR: f32 = -1000.0;
const FAT: f32 = -95.0;
const CSF: f32 = 7.0;
const WHITE: f32 = 29.5;
const GREY: f32 = 36.5;
const DURA: f32 = 56.0;
const MUSCLE: f32 = 58.0;
/// Of a slice of the usual thickness.
const NOISE_SIGMA_HU: f32 = 3.4;

/// Position of a slice on the z axis in mm.
pub(super) fn z_mm(slice: usize, spacing_mm: f64) -> f64 {
    f64::from(Z_LOWEST_MM) + spacing_mm * slice as f64
}

/// The pixels of the named slices, row by row, computed on all cores.
pub(super) fn slices(range: Range<usize>, spacing_mm: f64, haemorrhage: bool) -> Vec<Vec<i16>> {
    let wanted: Vec<usize> = range.collect();
    let workers = thread::available_parallelism().map_or(1, |cores| cores.get());
    let share = wanted.len().div_ceil(workers);
    thread::scope(|scope| {
        let jobs: Vec<_> = wanted
            .chunks(share)
            .map(|part| {
                let drawn = move || {
                    part.iter()
                        .map(|&n| slice(n, spacing_mm, haemorrhage))
                        .collect::<Vec<_>>()
                };
                scope.spawn(drawn)
            })
            .collect();
        jobs.into_iter()
            .flat_map(|job| job.join().expect("drawing a slice does not panic"))
            .collect()
    })
}

fn slice(number: usize, spacing_mm: f64, haemorrhage: bool) -> Vec<i16> {
    let z = z_mm(number, spacing_mm) as f32;
    let sigma = NOISE_SIGMA_HU * (SLICE_SPACING_MM / spacing_mm).sqrt() as f32;
    let spacing = PIXEL_SPACING_MM as f32;
    let centre = (MATRIX as f32 - 1.0) / 2.0;
    let mut sharp = vec![AIR; MATRIX * MATRIX];
    for row in 0..MATRIX {
        for column in 0..MATRIX {
            let point = Point {
                x: (column as f32 - centre) * spacing,
                y: (row as f32 - centre) * spacing,
                z,
            };
            sharp[row * MATRIX + column] = density(point, haemorrhage);
        }
    }
    let soft = blurred(&sharp);
    let mut pixels = vec![PADDING; MATRIX * MATRIX];
    for row in 0..MATRIX {
        for column in 0..MATRIX {
            let (x, y) = (
                (column as f32 - centre) * spacing,
                (row as f32 - centre) * spacing,
            );
            if x * x + y * y <= FIELD_RADIUS_MM * FIELD_RADIUS_MM {
                let idx = row * MATRIX + column;
                let value = soft[idx] + sigma * noise(row, column, number);
                pixels[idx] = value.round().clamp(-1024.0, 3071.0) as i16;
            }
        }
    }
    pixels
}

#[derive(Clone, Copy)]
struct Point {
    x: f32,
    y: f32,
    z: f32,
}

impl Point {
    /// Below 1 inside the ellipsoid, 1 on its surface.
    fn in_ellipsoid(self, centre: [f32; 3], radii: [f32; 3]) -> f32 {
        let x = (self.x - centre[0]) / radii[0];
        let y = (self.y - centre[1]) / radii[1];
        let z = (self.z - centre[2]) / radii[2];
        (x * x + y * y + z * z).sqrt()
    }

    fn is_in(self, centre: [f32; 3], radii: [f32; 3]) -> bool {
        self.in_ellipsoid(centre, radii) < 1.0
    }

    /// The same structure on either side: the point seen with x counted away from the midline.
    fn mirrored(self) -> Self {
        Self {
            x: self.x.abs(),
            ..self
        }
    }
}

/// Distance in mm outside the inner table of the skull, negative inside, measured along the ray from the centre.
fn outside_inner_table(p: Point) -> f32 {
    // A slightly boxy ellipsoid, narrower at the forehead than at the back.
    let narrowing = 1.0 - 0.0011 * (-p.y).max(0.0);
    let (x, y, z) = (p.x / (69.0 * narrowing), p.y / 86.0, p.z / 78.0);
    let fourth = |v: f32| v * v * v * v;
    let round = x * x + y * y + z * z;
    let boxy = (fourth(x) + fourth(y) + fourth(z)).sqrt();
    let r = (0.62 * round + 0.38 * boxy).sqrt();
    let length = (p.x * p.x + p.y * p.y + p.z * p.z).sqrt();
    if r < 1e-3 { -69.0 } else { length * (1.0 - 1.0 / r) }
}

fn density(p: Point, haemorrhage: bool) -> f32 {
    let d = outside_inner_table(p);
    if let Some(hu) = skull_base(p, d) {
        return hu;
    }
    if d < 0.0 {
        intracranial(p, -d, haemorrhage)
    } else {
        coverings(p, d)
    }
}

/// Skull, temporal muscle, fat and skin, `d` mm outside the inner table; then air and the head holder.
fn coverings(p: Point, d: f32) -> f32 {
    let bone = 6.2 + 1.4 * (p.y * 0.031).sin() + 0.6 * (p.x * 0.07 + p.z * 0.05).cos();
    let side = (p.x / 72.0).powi(2).min(1.0);
    let muscle = 1.2 + 9.0 * side * side * gauss(p.z + 22.0, 26.0) * gauss(p.y + 12.0, 34.0);
    if d < 1.6 {
        1500.0
    } else if d < bone - 1.9 {
        640.0 + 190.0 * (p.x * 1.3).sin() * (p.y * 1.1).sin() * (p.z * 1.2).cos()
    } else if d < bone {
        1680.0
    } else if d < bone + muscle {
        MUSCLE
    } else if d < bone + muscle + 3.1 {
        FAT
    } else if d < bone + muscle + 4.9 {
        48.0
    } else {
        let holder = (p.x * p.x + (p.y + 20.0).powi(2)).sqrt() - 126.5;
        if holder.abs() < 1.3 && p.y > 62.0 {
            130.0
        } else {
            AIR
        }
    }
}

/// Petrous bones, sphenoid sinus, orbits: what the lowest slices show.
fn skull_base(p: Point, d: f32) -> Option<f32> {
    if p.z > -24.0 {
        return None;
    }
    let m = p.mirrored();
    let orbit = m.in_ellipsoid([30.0, -66.0, -56.0], [17.0, 21.0, 17.0]);
    if orbit < 1.12 && d < 13.0 {
        let globe = m.in_ellipsoid([31.0, -72.0, -56.0], [12.0, 12.0, 12.0]);
        let lens = m.in_ellipsoid([31.0, -81.5, -56.0], [4.5, 2.0, 4.5]);
        let nerve = (m.x - 31.0 - 0.3 * (p.y + 62.0)).hypot(p.z + 56.0);
        return Some(match () {
            () if lens < 1.0 => 85.0,
            () if globe < 0.9 => 9.0,
            () if globe < 1.0 => 42.0,
            () if nerve < 2.4 && p.y > -62.0 => 34.0,
            () if orbit < 1.0 => FAT,
            () => 900.0,
        });
    }
    if d > 9.0 {
        return None;
    }
    let sinus = p.in_ellipsoid([0.0, -34.0, -56.0], [15.0, 13.0, 10.0]);
    if sinus < 1.14 {
        return Some(if sinus < 1.0 && p.x.abs() > 0.6 {
            AIR
        } else {
            760.0
        });
    }
    // From near the clivus outwards and backwards to the mastoid.
    let along = ((m.x - 16.0) * 46.0 + (p.y - 2.0) * 26.0) / (46.0_f32.powi(2) + 26.0_f32.powi(2));
    let along = along.clamp(0.0, 1.1);
    let (dx, dy, dz) = (m.x - 16.0 - 46.0 * along, p.y - 2.0 - 26.0 * along, p.z + 46.0);
    let radius = 6.0 + 6.0 * along;
    if (dx * dx + dy * dy + 0.55 * dz * dz).sqrt() < radius {
        let cells = (p.x * 1.05).sin() * (p.y * 1.15).sin() * (p.z * 0.9).sin();
        return Some(if along > 0.55 && cells > 0.16 {
            -780.0
        } else {
            1150.0 + 240.0 * cells
        });
    }
    None
}

/// Everything inside the skull, `depth` mm below the inner table.
fn intracranial(p: Point, depth: f32, haemorrhage: bool) -> f32 {
    if depth < 0.9 {
        return DURA;
    }
    let mut lesion_edge = f32::MAX;
    if haemorrhage {
        lesion_edge = lesion(p);
        if lesion_edge < 1.0 {
            // Denser in the middle, with the faint layering of fresh blood.
            return 68.0 - 7.0 * lesion_edge * lesion_edge + 2.0 * (p.x * 0.5 + p.y * 0.35 + p.z * 0.4).sin();
        }
    }
    let shift = if haemorrhage { midline_shift_mm(p) } else { 0.0 };
    if is_falx(
        Point {
            x: p.x + 0.35 * shift,
            ..p
        },
        depth,
    ) {
        return DURA;
    }
    // A structure now seen at p was at q before the haematoma pushed it to the right.
    let q = Point { x: p.x + shift, ..p };
    if let Some(hu) = fluid_and_calcium(q, haemorrhage) {
        return hu;
    }
    let tissue = parenchyma(q, depth);
    if lesion_edge < 1.42 {
        // Oedema darkens what it soaks, most next to the clot.
        let soaked = 1.0 - (lesion_edge - 1.0) / 0.42;
        return tissue.min(GREY) - (12.0 * soaked + 4.0);
    }
    tissue
}

/// Below 1 inside the haematoma in the left putamen, whose rim is uneven.
fn lesion(p: Point) -> f32 {
    let uneven = 0.07 * (p.x * 0.23 + 1.0).sin() * (p.z * 0.19).cos() + 0.06 * (p.y * 0.27).sin();
    p.in_ellipsoid([29.0, -3.0, 10.0], [16.0, 25.0, 19.0]) + uneven
}

/// How far brain at `p` was pushed to the patient's right, in mm: 6 at the midline beside the haematoma.
fn midline_shift_mm(p: Point) -> f32 {
    let across = ((p.x + 62.0) / 62.0).clamp(0.0, 1.0) * ((66.0 - p.x) / 50.0).clamp(0.0, 1.0);
    6.0 * across * gauss(p.y + 6.0, 36.0) * gauss(p.z - 12.0, 34.0)
}

fn is_falx(p: Point, depth: f32) -> bool {
    let near_the_vault = depth < 24.0 && p.z > -4.0;
    p.x.abs() < 0.9 && (p.z > 34.0 || near_the_vault)
}

/// Ventricles, cisterns, and the calcified pineal gland and choroid plexus.
fn fluid_and_calcium(q: Point, haemorrhage: bool) -> Option<f32> {
    let m = q.mirrored();
    // The ventricle beside the haematoma is squeezed.
    let w = if haemorrhage && q.x > 0.0 { 0.62 } else { 1.0 };
    if q.is_in([0.0, 23.0, 6.0], [2.0, 2.4, 2.4]) {
        return Some(165.0);
    }
    if m.is_in([19.5, 31.0, 14.0], [2.0 * w, 3.2, 2.6]) {
        return Some(130.0);
    }
    let fluid = m.is_in([8.5, -31.0, 17.0], [4.8 * w, 13.0, 10.0])
        || m.is_in([11.0, -4.0, 25.0], [6.4 * w, 25.0, 6.5])
        || m.is_in([19.0, 30.0, 14.0], [7.2 * w, 12.0, 12.0])
        || m.is_in([23.0, 49.0, 8.0], [4.2 * w, 13.0, 4.6])
        || m.is_in([31.0, 8.0, -15.0], [2.4 * w, 12.0, 2.6])
        || q.is_in([0.0, -1.0, 4.0], [2.3, 13.0, 11.0])
        || q.is_in([0.0, 43.0, -34.0], [6.5, 5.0, 7.0])
        || q.is_in([0.0, -17.0, -21.0], [12.0, 8.0, 5.5])
        || q.is_in([0.0, 25.0, -3.0], [11.0, 3.6, 6.0])
        || m.is_in([51.0, -13.0, 4.0], [13.0, 2.6 * w, 9.0]);
    fluid.then_some(CSF)
}

/// Grey and white matter, cerebellum and brain stem, with the fluid of the sulci.
fn parenchyma(q: Point, depth: f32) -> f32 {
    if q.is_in([0.0, 20.0, -40.0], [14.0, 12.0, 34.0]) {
        return 33.0;
    }
    let tent = -6.0 - 0.34 * q.x.abs() - 0.08 * (q.y - 30.0).abs();
    if q.y > 12.0 + 0.2 * q.x.abs() && q.z < tent {
        let below = tent - q.z;
        return match () {
            () if below < 0.7 => DURA,
            () if depth < 2.4 => CSF,
            () => 36.0 + 3.0 * (q.z * 1.7 + q.y * 0.5).sin() * gauss(depth - 6.0, 12.0),
        };
    }
    let fold = folding(q);
    let surface = 2.6 + 0.9 * (q.y * 0.09).cos();
    if depth < surface {
        return CSF + 2.0;
    }
    let below = depth - surface;
    // Sulci are where the folding field changes sign, open at the surface and closing with depth.
    let opening = 0.13 * (1.0 - below / 13.0);
    if fold.abs() < opening {
        return CSF + 7.0;
    }
    if below < 3.6 + 1.2 * fold || (fold.abs() < 0.36 && below < 13.0) {
        return GREY;
    }
    let m = q.mirrored();
    let deep_grey = m.is_in([13.5, -23.0, 15.0], [5.4, 8.5, 10.0])
        || m.is_in([11.0, 10.0, 7.0], [8.8, 14.0, 10.0])
        || Point {
            x: m.x - 0.22 * (m.y + 6.0),
            ..m
        }
        .is_in([26.5, -6.0, 8.0], [6.6, 17.0, 10.0]);
    if deep_grey { GREY + 0.5 } else { WHITE }
}

/// A smooth field whose zero surfaces wind like sulci, about 14 mm apart.
fn folding(q: Point) -> f32 {
    let a = (q.x * 0.27 + 1.9 * (q.y * 0.083).sin() + 0.8 * (q.z * 0.11).cos()).sin();
    let b = (q.y * 0.25 + 1.7 * (q.x * 0.091).cos() + 1.3 * (q.z * 0.07).sin()).sin();
    let c = (q.z * 0.21 + 1.4 * (q.x * 0.06).sin() + 1.2 * (q.y * 0.055).cos()).cos();
    a * b + 0.55 * c * (a - b)
}

fn gauss(distance: f32, width: f32) -> f32 {
    let t = distance / width;
    (-t * t).exp()
}

/// The scanner's point spread, as one pass of 1-2-1 each way.
fn blurred(sharp: &[f32]) -> Vec<f32> {
    let pass = |from: &[f32], step: usize| -> Vec<f32> {
        let mut to = from.to_vec();
        for idx in step..from.len() - step {
            to[idx] = 0.25 * from[idx - step] + 0.5 * from[idx] + 0.25 * from[idx + step];
        }
        to
    };
    pass(&pass(sharp, 1), MATRIX)
}

/// Roughly normal with a standard deviation near 1, neighbours slightly alike, the same on every run.
fn noise(row: usize, column: usize, slice: usize) -> f32 {
    let here = hashed(row, column, slice);
    let beside = hashed(row, column + 1, slice) + hashed(row + 1, column, slice);
    (here + 0.5 * beside) * 1.4
}

/// Sum of three uniform numbers, centred on zero; standard deviation one half.
fn hashed(row: usize, column: usize, slice: usize) -> f32 {
    let mut state = (row as u64) << 40 ^ (column as u64) << 20 ^ slice as u64 ^ 0x9e37_79b9_7f4a_7c15;
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^= state >> 31;
    let part = |shift: u32| ((state >> shift) & 0xf_ffff) as f32 / 1_048_576.0;
    part(0) + part(20) + part(40) - 1.5
}
