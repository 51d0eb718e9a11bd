//! The pool of plaintext: pictures and sound of ffmpeg's encoders, or made up where there is no ffmpeg. A stream is cut from it at
//! a place of its own.

use anyhow::Result;

use crate::media::{self, AUDIO_PACKET_MS, FRAMES_PER_SECOND};
use crate::rng::Rng;

/// Length of each encoding.
const SECONDS: u64 = 180;
/// What a muted microphone sends in Zoom: its length was observed, its content is made up.
const MUTED: [u8; 9] = [0xf8, 0xff, 0xfe, 0, 0, 0, 0, 0, 0x01];
/// Read aloud by flite.
const TEXTS: [&str; 3] = [
    "Good morning everybody, and thank you for joining. Let us begin with the numbers of last week before we turn to the plan",
    "I am not sure that this is right. Could you scroll up a little, so that we can see where the second column comes from",
    "The next train to the coast leaves at a quarter past nine from platform four. Please keep your luggage with you at all times",
];

/// What a session carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Speech,
    Silence,
    Muted,
    Camera,
    Screen,
    /// Speech, silence and a muted microphone in turn, a camera, and in half of the sessions a screen.
    Mixed,
}

impl Content {
    pub(crate) const ALL: [Self; 6] =
        [Self::Speech, Self::Silence, Self::Muted, Self::Camera, Self::Screen, Self::Mixed];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Speech => "speech",
            Self::Silence => "silence",
            Self::Muted => "muted",
            Self::Camera => "camera",
            Self::Screen => "screen",
            Self::Mixed => "mixed",
        }
    }
}

/// One frame to be sealed.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) bytes: Vec<u8>,
    pub(crate) at_ms: u64,
}

/// The streams of a session: sound, camera, screen.
#[derive(Debug, Default)]
pub(crate) struct Units {
    pub(crate) sound: Vec<Unit>,
    pub(crate) camera: Vec<Unit>,
    pub(crate) screen: Vec<Unit>,
}

type Frames = Vec<Vec<u8>>;

/// Encodings to cut from.
#[derive(Debug)]
pub(crate) struct Pool {
    speech: Vec<Frames>,
    silence: Vec<Frames>,
    camera: Vec<Frames>,
    screen: Vec<Frames>,
}

impl Pool {
    /// Real encodings.
    pub(crate) fn encode() -> Result<Self> {
        let pictures = |source: &str, kilobits| -> Result<Frames> {
            Ok(media::video(source, SECONDS, kilobits)?.into_iter().map(|picture| picture.bytes).collect())
        };
        let mut speech = Vec::new();
        for (text, (voice, kilobits)) in TEXTS.iter().zip([("slt", 16), ("kal", 24), ("rms", 32)]) {
            // One reading lasts some ten seconds; it goes round with a pause, over faint noise.
            let source = format!(
                "flite=voice={voice}:text='{text}',aresample=16000,apad=pad_dur=1,aloop=loop=-1:size=176000[v];\
                 anoisesrc=a=0.004:c=pink:r=16000:seed={kilobits}[n];[v][n]amix=inputs=2:duration=first"
            );
            speech.push(media::audio(&source, SECONDS, kilobits)?);
        }
        let quiet = ["anoisesrc=a=0.0005:c=brown:r=16000:seed=5", "anullsrc=r=16000:cl=mono"];
        let silence = quiet.iter().map(|source| media::audio(source, SECONDS, 16)).collect::<Result<_>>()?;
        let camera = vec![
            pictures("mandelbrot=s=320x180:rate=12:maxiter=200,noise=alls=10:allf=t", 300)?,
            pictures("testsrc2=s=640x360:rate=12,noise=alls=6:allf=t", 700)?,
            pictures("life=s=320x180:rate=12:mold=10:seed=7:ratio=0.2,gblur=2", 150)?,
        ];
        let screen =
            vec![pictures("testsrc=s=640x360:rate=12", 150)?, pictures("smptehdbars=s=640x360:rate=12", 60)?];
        Ok(Self { speech, silence, camera, screen })
    }

    /// Made up: lengths as encoders make them, bytes of chance behind the headers that H.264 and Opus have.
    #[cfg(test)]
    pub(crate) fn made_up() -> Self {
        let mut rng = Rng::named("made-up encodings");
        let mut frames = |count: u64, head: &[u8], base: u64, spread: u64| -> Frames {
            (0..count)
                .map(|_| {
                    let mut frame = vec![0; (base + rng.below(spread)) as usize];
                    rng.fill(&mut frame);
                    frame[..head.len()].copy_from_slice(head);
                    frame
                })
                .collect()
        };
        let (sound, pictures) = (SECONDS * 1000 / AUDIO_PACKET_MS, SECONDS * FRAMES_PER_SECOND);
        Self {
            speech: vec![frames(sound, &[0x48], 40, 120)],
            silence: vec![frames(sound, &[0x48], 6, 20)],
            camera: vec![frames(pictures, &[0x41, 0x9a], 400, 4000)],
            screen: vec![frames(pictures, &[0x41, 0x9a], 30, 60)],
        }
    }

    pub(crate) fn cut(&self, content: Content, seconds: u64, rng: &mut Rng) -> Units {
        let mut units = Units::default();
        let mixed = content == Content::Mixed;
        let sounds = seconds * 1000 / AUDIO_PACKET_MS;
        let speech = piece(&self.speech, sounds, rng);
        let silence = piece(&self.silence, sounds, rng);
        let sound = |number: usize| match content {
            Content::Silence => silence[number].clone(),
            Content::Muted => MUTED.to_vec(),
            // Half of a mixed session is speech; silence and muting share the rest.
            Content::Mixed if number / 250 % 4 == 1 => silence[number].clone(),
            Content::Mixed if number / 250 % 4 == 3 => MUTED.to_vec(),
            _ => speech[number].clone(),
        };
        if mixed || matches!(content, Content::Speech | Content::Silence | Content::Muted) {
            units.sound = (0..sounds as usize)
                .map(|number| Unit { bytes: sound(number), at_ms: number as u64 * AUDIO_PACKET_MS })
                .collect();
        }
        let pictures = |pool: &[Frames], rng: &mut Rng| -> Vec<Unit> {
            let frames = piece(pool, seconds * FRAMES_PER_SECOND, rng);
            let timed = frames.iter().enumerate();
            timed
                .map(|(number, frame)| Unit {
                    bytes: frame.clone(),
                    at_ms: number as u64 * 1000 / FRAMES_PER_SECOND,
                })
                .collect()
        };
        if mixed || content == Content::Camera {
            units.camera = pictures(&self.camera, rng);
        }
        if content == Content::Screen || (mixed && rng.one_in(2)) {
            units.screen = pictures(&self.screen, rng);
        }
        units
    }
}

/// A piece of one of the encodings, from a place of its own.
fn piece<'p>(pool: &'p [Frames], count: u64, rng: &mut Rng) -> &'p [Vec<u8>] {
    let frames = &pool[rng.below(pool.len() as u64) as usize];
    let count = (count as usize).min(frames.len());
    let start = rng.below((frames.len() - count + 1) as u64) as usize;
    &frames[start..start + count]
}
