"""What people draw in annotation tools, to labels and boxes, and these back to the tools, to be corrected there.

- `elan`: tiers of ELAN; `cvat`: tracks of CVAT, and `cvat_tracks`, as it fills them in between; `via`: segments of VIA
- `drawn`: what comes of a file of any of them; `names`: persons and actions, as they stand there
- `clocks`: our seconds as players' seconds and as numbers of frames
- `xml_file`: XML of others read safely, ours written

Files are one a movie. Which movies there are, and what their clocks say, is left to the caller.
"""
