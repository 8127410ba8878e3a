//! One native frame as sections and back: HTJ2K where that is smaller and gives every bit back, else byte planes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sha2::{Digest, Sha256};

use super::{ContainerError, FrameGeometry, SectionKind, code};
use crate::htj2k;

/// zstd level for frames, where speed matters most.
const FRAME_LEVEL: i32 = 1;
/// How often the sides of an image are halved in the beginning of its codestream.
const LOW_HALVINGS: u8 = 2;

/// Working memory of coder and decoder for each sample. Bytes.
const CODER_SAMPLE_BYTES: usize = 10;

/// Buffers are kept from frame to frame up to this length of a frame. Bytes.
pub(super) const KEPT_FRAME_BYTES: usize = 1024 * 1024;

/// How the frames of an object lie in their bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameForm {
    /// For HTJ2K; `None` when the frames are to be coded as byte planes.
    pub(super) geometry: Option<FrameGeometry>,
    /// Bytes of one sample, for the byte planes.
    pub(super) sample_bytes: u8,
    /// Bytes to reverse in each unit to get little endian.
    pub(super) swap_bytes: u8,
}

impl FrameForm {
    /// Bytes of memory that coding a frame of `frame_len` bytes takes at most.
    pub(super) fn memory(&self, frame_len: usize) -> u64 {
        match self.geometry {
            // The frame twice, its codestream, and what coder or decoder work in.
            Some(geometry) => (frame_len * 3 + geometry.n_samples() * CODER_SAMPLE_BYTES) as u64,
            // The frame, its planes, both of the proof, and what they are coded to.
            None => frame_len as u64 * 5,
        }
    }
}

/// A section that is ready to be stored.
#[derive(Debug)]
pub(super) struct CodedSection {
    pub(super) kind: SectionKind,
    pub(super) sample_bytes: u8,
    pub(super) expanded_len: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: [u8; 32],
}

impl CodedSection {
    pub(super) fn new(kind: SectionKind, sample_bytes: u8, expanded_len: usize, bytes: Vec<u8>) -> Self {
        Self {
            kind,
            sample_bytes,
            expanded_len: expanded_len as u64,
            sha256: Sha256::digest(&bytes).into(),
            bytes,
        }
    }
}

/// A coded frame: the section that begins it, and those that complete it.
pub(super) struct CodedFrame {
    pub(super) first: CodedSection,
    pub(super) rests: Vec<CodedSection>,
}

/// Codes frames one after the other; keeps its buffers.
pub(super) struct FrameCoder {
    zstd: zstd::bulk::Compressor<'static>,
    buffers: FrameBuffers,
}

#[derive(Default)]
struct FrameBuffers {
    encoder: htj2k::Encoder,
    decoder: htj2k::Decoder,
    codestream: htj2k::Codestream,
    little: Vec<u8>,
    samples: Vec<i32>,
    planes: Vec<u8>,
    proof: Vec<u8>,
}

impl FrameCoder {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            zstd: zstd::bulk::Compressor::new(FRAME_LEVEL)?,
            buffers: FrameBuffers::default(),
        })
    }

    /// Codes one frame and proves it by decoding; `None` when it cannot be proved in any form.
    pub(super) fn code(
        &mut self,
        raw: &[u8],
        form: &FrameForm,
    ) -> Result<Option<CodedFrame>, ContainerError> {
        let mut coded = None;
        if let Some(geometry) = &form.geometry {
            // A fault of the coder must not keep an image from the reader: the frame travels as byte planes then.
            let htj2k = catch_unwind(AssertUnwindSafe(|| {
                self.code_htj2k(raw, geometry, form.swap_bytes)
            }));
            coded = match htj2k {
                Ok(coded) => coded?,
                Err(_) => {
                    self.buffers = FrameBuffers::default();
                    None
                }
            };
        }
        if coded.is_none() {
            coded = self.code_planes(raw, form.sample_bytes)?;
        }
        if raw.len() > KEPT_FRAME_BYTES {
            self.buffers = FrameBuffers::default();
        }
        Ok(coded)
    }

    /// `None` when the codestream would be longer than the frame, or does not give it back.
    fn code_htj2k(
        &mut self,
        raw: &[u8],
        geometry: &FrameGeometry,
        swap_bytes: u8,
    ) -> Result<Option<CodedFrame>, ContainerError> {
        let FrameBuffers {
            encoder,
            decoder,
            codestream,
            little,
            samples,
            proof,
            ..
        } = &mut self.buffers;
        let little: &[u8] = if swap_bytes > 1 {
            little.clear();
            little.extend_from_slice(raw);
            code::swap(little, usize::from(swap_bytes));
            little
        } else {
            raw
        };
        geometry.samples(little, samples);
        let shape = geometry.shape();
        if encoder.encode(&shape, samples, codestream).is_err() {
            return Ok(None);
        }
        let is_large = raw.len() > KEPT_FRAME_BYTES;
        if is_large {
            *samples = Vec::new();
        }
        let mut low = std::mem::take(&mut codestream.bytes);
        let low_end = low_end(geometry, &codestream.resolution_ends, low.len());
        let Some(low_end) = low_end.filter(|_| low.len() <= raw.len()) else {
            return Ok(None);
        };
        if decoder.decode(&low, &shape, samples).is_err() || !geometry.is_of(little, samples) {
            return Ok(None);
        }
        if is_large {
            *decoder = htj2k::Decoder::default();
        }
        geometry.frame(samples, proof);
        let side = match proof == little {
            true => None,
            false => {
                xor(proof, little);
                Some(self.side_bits(geometry)?)
            }
        };
        let mut rests = Vec::new();
        let rest = low.split_off(low_end);
        low.shrink_to_fit();
        if !rest.is_empty() {
            rests.push(CodedSection::new(SectionKind::Htj2kRest, 0, 0, rest));
        }
        rests.extend(side.map(|side| CodedSection::new(SectionKind::SideBits, 0, 0, side)));
        let first = CodedSection::new(SectionKind::Htj2kLow, 0, raw.len(), low);
        Ok(Some(CodedFrame { first, rests }))
    }

    /// The bits of a frame beside its samples, which lie in `proof`: coded and proved.
    fn side_bits(&mut self, geometry: &FrameGeometry) -> Result<Vec<u8>, ContainerError> {
        let FrameBuffers { planes, proof, .. } = &mut self.buffers;
        code::split(proof, geometry.sample_bytes(), planes);
        let packed = self.zstd.compress(planes)?;
        code::unpack(&packed, planes.len() as u64, proof)?;
        if proof != planes {
            return Err(ContainerError::ProofFailed(0));
        }
        Ok(packed)
    }

    fn code_planes(&mut self, raw: &[u8], sample_bytes: u8) -> Result<Option<CodedFrame>, ContainerError> {
        let FrameBuffers {
            little,
            planes,
            proof,
            ..
        } = &mut self.buffers;
        let split = usize::from(sample_bytes);
        let plain: &[u8] = if split > 1 {
            code::split(raw, split, planes);
            planes
        } else {
            raw
        };
        let packed = self.zstd.compress(plain)?;
        if code::unpack(&packed, plain.len() as u64, proof).is_err() {
            return Ok(None);
        }
        let back = if split > 1 {
            code::join(proof, split, little);
            little
        } else {
            proof
        };
        if *back != raw {
            return Ok(None);
        }
        let first = CodedSection::new(SectionKind::NativeFrame, sample_bytes, raw.len(), packed);
        Ok(Some(CodedFrame {
            first,
            rests: Vec::new(),
        }))
    }
}

/// Rebuilds frames; keeps its buffers.
#[derive(Default)]
pub(super) struct FrameRebuilder {
    decoder: htj2k::Decoder,
    samples: Vec<i32>,
    planes: Vec<u8>,
    side: Vec<u8>,
}

impl FrameRebuilder {
    /// Rebuilds a frame, little endian, from its codestream and side bits.
    pub(super) fn rebuild(
        &mut self,
        geometry: &FrameGeometry,
        codestream: &[u8],
        side: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), ContainerError> {
        let samples = &mut self.samples;
        let decoded = self.decoder.decode(codestream, &geometry.shape(), samples);
        if decoded.is_err() || samples.len() != geometry.n_samples() {
            return Err(ContainerError::Malformed("codestream does not decode"));
        }
        geometry.frame(samples, out);
        if let Some(side) = side {
            code::unpack(side, geometry.frame_len(), &mut self.planes)?;
            code::join(&self.planes, geometry.sample_bytes(), &mut self.side);
            xor(out, &self.side);
        }
        Ok(())
    }
}

/// How often the sides are halved in the image that the first bytes hold.
pub(super) fn low_halvings(geometry: &FrameGeometry) -> u8 {
    geometry.shape().decomposition_levels().min(LOW_HALVINGS)
}

/// First byte after the resolution that comes first; `None` when the ends make no sense.
fn low_end(geometry: &FrameGeometry, ends: &[u32], len: usize) -> Option<usize> {
    let levels = geometry.shape().decomposition_levels();
    let end = *ends.get(usize::from(levels - low_halvings(geometry)))? as usize;
    (ends.len() == usize::from(levels) + 1 && end <= len).then_some(end)
}

fn xor(bytes: &mut [u8], with: &[u8]) {
    bytes.iter_mut().zip(with).for_each(|(byte, with)| *byte ^= with);
}
